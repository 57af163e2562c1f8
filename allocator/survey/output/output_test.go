package output

import (
	"bytes"
	"os"
	"testing"
)

func TestColor(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Color(&bytes.Buffer{}) || Color(f) {
		t.Error("colors are for terminals only")
	}
	null, err := os.Open(os.DevNull) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !Color(null) {
		t.Error("a terminal gets no colors")
	}
	t.Setenv("NO_COLOR", "1")
	if Color(null) {
		t.Error("NO_COLOR is not honoured")
	}
}
