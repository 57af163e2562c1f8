package ec2sim

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
)

// maxBody is the longest request body that is read, in bytes.
const maxBody = 1 << 20

// query is a request in EC2's query protocol: form values, in which the i-th
// member of a list is called Name.i, from 1.
type query struct {
	action string
	form   url.Values
}

func readQuery(w http.ResponseWriter, r *http.Request) (query, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return query{}, refuse("MalformedQueryString", "%s", err)
	}
	q := query{action: r.Form.Get("Action"), form: r.Form}
	if r.Header.Get("Authorization") == "" {
		return q, refuse(CodeAuthFailure, "The request has no Authorization header. "+
			"The simulator takes any signature, but wants one: give the client static credentials")
	}
	return q, nil
}

func (q query) list(name string) []string {
	var values []string
	for i := 1; ; i++ {
		v, ok := q.form[fmt.Sprintf("%s.%d", name, i)]
		if !ok {
			return values
		}
		values = append(values, v[0])
	}
}

// number is an integer parameter, 0 where it is left out.
func (q query) number(name string) (int, error) {
	s := q.form.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, refuse(CodeInvalidValue, "%s: %q is no number", name, s)
	}
	return n, nil
}

// request reads the parameters that say what to assign or unassign.
func (q query) request() (Request, error) {
	var r Request
	var err error
	if r.AddressCount, err = q.number("SecondaryPrivateIpAddressCount"); err != nil {
		return r, err
	}
	if r.PrefixCount, err = q.number("Ipv4PrefixCount"); err != nil {
		return r, err
	}
	if r.Addresses, err = parseAll(q.list("PrivateIpAddress"), netip.ParseAddr); err != nil {
		return r, err
	}
	r.Prefixes, err = parseAll(q.list("Ipv4Prefix"), netip.ParsePrefix)
	return r, err
}

func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var values []T
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return nil, refuse(CodeInvalidValue, "%s", err)
		}
		values = append(values, v)
	}
	return values, nil
}
