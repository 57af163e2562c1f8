// Package check has what tests say of errors.
package check

import "testing"

// Must ends the test where there is an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ErrorOf passes on the error of a call whose result nobody needs.
func ErrorOf[T any](_ T, err error) error { return err }
