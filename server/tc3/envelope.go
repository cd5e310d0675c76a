package tc3

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/apierr"
)

// contentType is exactly this: the Python SDK looks for an error only if
// nothing follows.
var contentType = []string{"application/json"}

// largestKept is the capacity in bytes up to which an answer's memory is kept
// for the next one.
const largestKept = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Write writes the answer to q: reply, a struct of the action's output fields,
// or the error if there is one. The status is 200 either way, as every SDK
// expects.
func Write(w http.ResponseWriter, q *Request, requestID string, reply any, failure *apierr.Error) error {
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= largestKept {
			buffers.Put(b)
		}
	}()
	b.Reset()
	b.WriteString(`{"Response":`)
	if failure != nil {
		reply = errorReply{errorBody{failure.Kind.Code, failure.Message(q.Lang)}}
	}
	// Messages can quote what a client sent, so bytes that are no UTF-8 are
	// replaced, never a reason to fail.
	if err := json.MarshalWrite(b, reply, jsontext.AllowInvalidUTF8(true)); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the closing brace: RequestId goes before it
	if last := b.Bytes()[b.Len()-1]; last != '{' {
		b.WriteByte(',')
	}
	b.WriteString(`"RequestId":"` + requestID + `"}}`)

	h := w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(b.Len())}
	if q.TraceID != "" {
		h.Set(headerTraceID, q.TraceID)
	}
	_, _ = w.Write(b.Bytes()) // the client may be gone
	return nil
}

// Refusal is the body of an error's answer to a request that was not read.
func Refusal(requestID string, failure *apierr.Error) []byte {
	body, _ := json.Marshal(errorReply{errorBody{failure.Kind.Code, failure.Message(apierr.English)}}) // two texts
	return fmt.Appendf(nil, `{"Response":%s,"RequestId":"%s"}}`, body[:len(body)-1], requestID)
}

type errorReply struct{ Error errorBody }

type errorBody struct{ Code, Message string }
