package ec2sim

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// maxFilterValues is the most values of all the filters of a call
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
const maxFilterValues = 200

// reading says how a kind of thing is looked up by a Describe action.
type reading[T any] struct {
	ids     string // the parameter with the ids
	all     map[string]T
	missing func(id string) error // for an id that is not there or not visible
	visible func(T) bool          // nil: all are
	field   func(T, string) (value string, known bool)
	// mostIDs and mostPage bound the ids of a call (0: no bound) and MaxResults.
	mostIDs, mostPage int
}

type filter struct {
	name   string
	values []string
}

// read answers with the things that q asks for, in order of their ids, and the
// token of the next page.
func read[T any](q query, c conditions, r reading[T]) (page []T, token string, err error) {
	ids, err := r.wanted(q)
	if err != nil {
		return nil, "", err
	}
	filters, err := q.filters()
	if err != nil {
		return nil, "", err
	}
	var matching []string
	for _, id := range ids {
		matches, err := r.matches(r.all[id], filters)
		if err != nil {
			return nil, "", err
		}
		if matches {
			matching = append(matching, id)
		}
	}
	matching, token, err = r.page(q, c, matching)
	for _, id := range matching {
		page = append(page, r.all[id])
	}
	return page, token, err
}

// wanted lists the ids that are asked for by name, or else all, sorted.
func (r reading[T]) wanted(q query) ([]string, error) {
	ids := q.list(r.ids)
	if r.mostIDs > 0 && len(ids) > r.mostIDs {
		return nil, refuse(CodeInvalidValue, "%s: at most %d can be asked for in one call", r.ids, r.mostIDs)
	}
	for _, id := range ids {
		if x, ok := r.all[id]; !ok || r.visible != nil && !r.visible(x) {
			return nil, r.missing(id)
		}
	}
	if len(ids) == 0 {
		for id, x := range r.all {
			if r.visible == nil || r.visible(x) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func (q query) filters() ([]filter, error) {
	var filters []filter
	values := 0
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("Filter.%d.", i)
		f := filter{q.form.Get(prefix + "Name"), q.list(prefix + "Value")}
		if f.name == "" {
			return filters, nil
		}
		if values += len(f.values); values > maxFilterValues {
			return nil, refuse(CodeFilterLimitExceeded,
				"The maximum number of filter values specified on a single call is %d", maxFilterValues)
		}
		if slices.ContainsFunc(f.values, func(v string) bool { return strings.ContainsAny(v, "*?") }) {
			return nil, refuse(CodeUnsupported, "the simulator knows no wildcards: filter %s", f.name)
		}
		filters = append(filters, f)
	}
}

// matches says whether x passes every filter, that is has one of its values.
func (r reading[T]) matches(x T, filters []filter) (bool, error) {
	for _, f := range filters {
		value, known := r.field(x, f.name)
		if !known {
			return false, refuse(CodeInvalidValue, "The filter '%s' is invalid", f.name)
		}
		if !slices.Contains(f.values, value) {
			return false, nil
		}
	}
	return true, nil
}

// page cuts the page out of ids that q asks for.
func (r reading[T]) page(q query, c conditions, ids []string) ([]string, string, error) {
	size, err := q.number("MaxResults")
	switch {
	case err != nil:
		return nil, "", err
	case size != 0 && r.ids != "" && len(q.list(r.ids)) > 0:
		return nil, "", refuse(CodeInvalidCombination, "MaxResults and %s exclude each other", r.ids)
	case size != 0 && (size < 5 || size > r.mostPage):
		return nil, "", refuse(CodeInvalidValue, "MaxResults must be between 5 and %d", r.mostPage)
	case size == 0 || c.page != 0 && c.page < size:
		size = c.page
	}
	after, err := base64.URLEncoding.DecodeString(q.form.Get("NextToken"))
	if err != nil {
		return nil, "", refuse(CodeInvalidToken, "The token is not valid")
	}
	from, found := slices.BinarySearch(ids, string(after))
	if found {
		from++
	}
	ids = ids[from:]
	if size == 0 || len(ids) <= size {
		return ids, "", nil
	}
	return ids[:size], base64.URLEncoding.EncodeToString([]byte(ids[size-1])), nil
}
