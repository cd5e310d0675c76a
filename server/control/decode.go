package control

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/decode"
)

// How the control plane's calls read their input.

// noBody is a call without a body.
func noBody[R any](do func(*Control) (R, error)) func(*Control, *http.Request) (any, error) {
	return func(c *Control, _ *http.Request) (any, error) { return do(c) }
}

// withQuery is a call with parameters and without a body.
func withQuery[R any](do func(*Control, *http.Request) (R, error)) func(*Control, *http.Request) (any, error) {
	return func(c *Control, r *http.Request) (any, error) { return do(c, r) }
}

// largestControl is how much a control call may send, in bytes.
const largestControl = 1 << 20

// jsonBody is a call with a JSON body. A field that the call doesn't know is
// refused.
func jsonBody[Q, R any](do func(*Control, *Q) (R, error)) func(*Control, *http.Request) (any, error) {
	return jsonBodyWithQuery(func(c *Control, _ *http.Request, q *Q) (R, error) { return do(c, q) })
}

// jsonBodyWithQuery is a call with parameters and a JSON body.
func jsonBodyWithQuery[Q, R any](do func(*Control, *http.Request, *Q) (R, error)) func(*Control, *http.Request) (any, error) {
	return func(c *Control, r *http.Request) (any, error) {
		body, err := readBody(r, largestControl)
		if err != nil {
			return nil, err
		}
		q := new(Q)
		if err := decode.JSON(body, q); err != nil {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
		if err := decode.NotEmpty(body); err != nil {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
		return do(c, r, q)
	}
}

// A steadyBody may have any length, as long as its bytes keep coming.
type steadyBody struct {
	io.ReadCloser
	connection *http.ResponseController
	clock      *clock.Clock
}

// standstill is how long a body may send nothing, and a client may take nothing.
const standstill = 30 * time.Second

// Read reads what comes next.
func (b steadyBody) Read(p []byte) (int, error) {
	_ = b.connection.SetReadDeadline(b.clock.Wall().Add(standstill)) // not on every kind of connection
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.connection.SetReadDeadline(time.Time{}) // of the body alone
	}
	return n, err
}

// A steadyWriter may write an answer of any length, as long as the client takes
// it.
type steadyWriter struct {
	http.ResponseWriter
	connection *http.ResponseController
	clock      *clock.Clock
}

// Write writes a part.
func (w steadyWriter) Write(p []byte) (int, error) {
	_ = w.connection.SetWriteDeadline(w.clock.Wall().Add(standstill)) // not on every kind of connection
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w steadyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func readBody(r *http.Request, largest int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, largest+1))
	if err != nil || int64(len(body)) > largest {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body can't be read, or is larger than %d bytes", largest)
	}
	return body, nil
}

// uinOf reads the parameter that limits a call to one account; 0 if it is not
// there.
func uinOf(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("uin")
	if text == "" {
		return 0, nil
	}
	uin, err := strconv.ParseUint(text, 10, 53)
	if err != nil || uin == 0 {
		return 0, refuse(http.StatusBadRequest, "uin is %q; it must be an account such as %d", text, account.DefaultUin)
	}
	return uin, nil
}
