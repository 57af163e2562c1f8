package extender

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	errNodeObjects = errors.New("the request has Nodes instead of NodeNames: " +
		"set nodeCacheCapable: true for this extender in the scheduler's configuration")
	errNoNames = errors.New("the request has no NodeNames")
)

// nodeArgs is an extenderv1.ExtenderArgs, decoded in place: the names of the
// nodes stay where they came, in the body of the request.
type nodeArgs struct {
	pod   *pod
	body  []byte
	names []span
	given bool // NodeNames was there and not null
	nodes bool // Nodes was there and not null

	decoder   jsontext.Decoder
	unescaped []byte
}

// span is a JSON string in the body, its quotes included.
type span struct{ from, to int }

// read decodes the body, which must stay as it is for as long as a is in use.
func (a *nodeArgs) read(body *bytes.Buffer) error {
	a.pod, a.given, a.nodes = nil, false, false
	a.body, a.names = body.Bytes(), a.names[:0]
	a.decoder.Reset(body) // reads out of the buffer itself, without a copy
	if err := a.readObject(); err != nil {
		return fmt.Errorf("reading ExtenderArgs: %w", err)
	}
	switch {
	case a.nodes:
		return errNodeObjects
	case !a.given:
		return errNoNames
	}
	return nil
}

func (a *nodeArgs) readObject() error {
	if err := a.expect(jsontext.KindBeginObject); err != nil {
		return err
	}
	for a.decoder.PeekKind() != jsontext.KindEndObject {
		name, err := a.decoder.ReadToken()
		if err != nil {
			return err
		}
		if err := a.readMember(name.String()); err != nil {
			return err
		}
	}
	if err := a.expect(jsontext.KindEndObject); err != nil {
		return err
	}
	if _, err := a.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("there is text after the object")
	}
	return nil
}

func (a *nodeArgs) readMember(name string) error {
	switch name {
	case "Pod":
		return json.UnmarshalDecode(&a.decoder, &a.pod)
	case "NodeNames":
		a.given = a.decoder.PeekKind() != jsontext.KindNull
		if a.given {
			return a.readNames()
		}
	case "Nodes":
		a.nodes = a.decoder.PeekKind() != jsontext.KindNull
	}
	return a.decoder.SkipValue()
}

func (a *nodeArgs) readNames() error {
	if err := a.expect(jsontext.KindBeginArray); err != nil {
		return err
	}
	for a.decoder.PeekKind() == jsontext.KindString {
		name, err := a.decoder.ReadValue()
		if err != nil {
			return err
		}
		to := int(a.decoder.InputOffset())
		a.names = append(a.names, span{to - len(name), to})
	}
	return a.expect(jsontext.KindEndArray)
}

// expect reads a token that has to be of that kind.
func (a *nodeArgs) expect(kind jsontext.Kind) error {
	if token, err := a.decoder.ReadToken(); err != nil {
		return err
	} else if token.Kind() != kind {
		return fmt.Errorf("%s where %s is due, at %q", token.Kind(), kind, a.decoder.StackPointer())
	}
	return nil
}

// quoted is the i-th name as it came, with its quotes and escapes.
func (a *nodeArgs) quoted(i int) []byte {
	s := a.names[i]
	return a.body[s.from:s.to]
}

// name is the i-th name, valid until the next call.
func (a *nodeArgs) name(i int) []byte {
	quoted := a.quoted(i)
	if plain := quoted[1 : len(quoted)-1]; bytes.IndexByte(plain, '\\') < 0 {
		return plain
	}
	// The decoder has found it valid already, so there is no error.
	a.unescaped, _ = jsontext.AppendUnquote(a.unescaped[:0], quoted)
	return a.unescaped
}
