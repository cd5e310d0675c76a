package caller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"ssmlocal/server/near"
)

// The same call as a program for a client.

// Languages returns the clients for which Code writes a call.
func Languages() []string {
	return []string{"curl", "tccli", "go", "python", "node", "java", "php", "terraform"}
}

// Code writes the call as a program for a client, ready to run against the host
// that it names. curl's has a signature of this moment, which the API takes for
// five minutes; Terraform's are the provider's settings, whatever the call. The
// error says that there is no such client, or that the parameters are no JSON
// object.
func (c *Call) Code(language string, now time.Time) (string, error) {
	if language == "curl" {
		return c.curl(now)
	}
	t := programs[language]
	if t == nil {
		return "", fmt.Errorf("there is no client %q%s; there are %s", language, near.Hint(language, Languages()), strings.Join(Languages(), ", "))
	}
	var parameters map[string]json.RawMessage
	if err := json.Unmarshal(c.Parameters, &parameters); err != nil {
		return "", fmt.Errorf("the parameters are not a JSON object: %w", err)
	}
	var flags strings.Builder // tccli's
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		fmt.Fprintf(&flags, " --%s %s", name, Word(plain(parameters[name])))
	}
	var text bytes.Buffer
	err := json.Indent(&text, c.Parameters, "", "  ")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, program{c, text.String(), flags.String()})
	return b.String(), err
}

// curl writes the signed request.
func (c *Call) curl(now time.Time) (string, error) {
	r, body, _, err := c.request(context.Background(), now)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The signature is good for five minutes.\ncurl -s http://%s/", c.Host)
	if r.Method != http.MethodPost {
		fmt.Fprintf(&b, " -X %s", r.Method)
	}
	for _, h := range headers(r.Header, "") {
		fmt.Fprintf(&b, " \\\n  -H %s", Word(h.Name+": "+h.Value))
	}
	fmt.Fprintf(&b, " \\\n  --data-raw %s\n", Word(string(body)))
	return b.String(), nil
}

// Word writes a text as one word for a shell.
func Word(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// plain is a JSON value as tccli takes it: a text without its quotes, True for
// true.
func plain(value json.RawMessage) string {
	var text string
	switch {
	case json.Unmarshal(value, &text) == nil:
		return text
	case string(value) == "true":
		return "True"
	case string(value) == "false":
		return "False"
	}
	return string(value)
}

// program is what the templates are written from.
type program struct {
	*Call
	JSON  string // the parameters, in several lines
	Flags string // the parameters as tccli takes them
}

// Client is the service as class names have it, such as Ssm.
func (p program) Client() string { return strings.ToUpper(p.Service[:1]) + p.Service[1:] }

// Package is the version as package names have it, such as v20190923.
func (p program) Package() string { return "v" + strings.ReplaceAll(p.Version, "-", "") }

// GoJSON is the parameters as a literal of Go.
func (p program) GoJSON() string {
	if strings.Contains(p.JSON, "`") {
		return strconv.Quote(p.JSON)
	}
	return "`" + p.JSON + "`"
}

// Q writes a text as a literal in double quotes, as Python, Java and JavaScript
// read it.
func (p program) Q(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text always can be
	return strings.TrimSuffix(b.String(), "\n")
}

// Single writes a text as a literal in single quotes, as PHP reads it.
func (p program) Single(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func parse(text string) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{"word": Word}).Parse(text))
}

// programs are the templates, by client.
var programs = map[string]*template.Template{
	"tccli": parse(`tccli {{.Service}} {{.Action}}{{.Flags}} --endpoint http://{{.Host}} --region {{.Region}}{{if .Language}} --language {{.Language}}{{end}} --secretId {{word .SecretID}} --secretKey {{word .SecretKey}}{{if .Token}} --token {{word .Token}}{{end}}
`),
	"python": parse(`# pip install tencentcloud-sdk-python-{{.Service}}
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.{{.Service}}.{{.Package}} import {{.Service}}_client, models

profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint={{.Q .Host}}){{if .Language}}, language={{.Q .Language}}{{end}})
client = {{.Service}}_client.{{.Client}}Client(credential.Credential({{.Q .SecretID}}, {{.Q .SecretKey}}{{if .Token}}, {{.Q .Token}}{{end}}), {{.Q .Region}}, profile)
request = models.{{.Action}}Request()
request.from_json_string({{.Q .JSON}})
print(client.{{.Action}}(request).to_json_string())
`),
	"go": parse(`// go get github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/{{.Service}}
package main

import (
	"fmt"
	"log"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	{{.Service}} "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/{{.Service}}/{{.Package}}"
)

func main() {
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", {{.Q .Host}}
{{- if .Language}}
	p.Language = {{.Q .Language}}
{{- end}}
{{- if .Token}}
	credential := common.NewTokenCredential({{.Q .SecretID}}, {{.Q .SecretKey}}, {{.Q .Token}})
{{- else}}
	credential := common.NewCredential({{.Q .SecretID}}, {{.Q .SecretKey}})
{{- end}}
	client, err := {{.Service}}.NewClient(credential, {{.Q .Region}}, p)
	if err != nil {
		log.Fatal(err)
	}
	request := {{.Service}}.New{{.Action}}Request()
	if err := request.FromJsonString({{.GoJSON}}); err != nil {
		log.Fatal(err)
	}
	reply, err := client.{{.Action}}(request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.ToJsonString())
}
`),
	"node": parse(`// npm install tencentcloud-sdk-nodejs-{{.Service}}
const { {{.Service}} } = require("tencentcloud-sdk-nodejs-{{.Service}}");

const client = new {{.Service}}.{{.Package}}.Client({
  credential: { secretId: {{.Q .SecretID}}, secretKey: {{.Q .SecretKey}}{{if .Token}}, token: {{.Q .Token}}{{end}} },
  region: {{.Q .Region}},
  profile: { {{if .Language}}language: {{.Q .Language}}, {{end}}httpProfile: { protocol: "http://", endpoint: {{.Q .Host}} } },
});
client.{{.Action}}({{.JSON}}).then((reply) => console.log(JSON.stringify(reply)));
`),
	"java": parse(`// com.tencentcloudapi:tencentcloud-sdk-java
import com.tencentcloudapi.common.Credential;
import com.tencentcloudapi.common.profile.ClientProfile;
{{- if .Language}}
import com.tencentcloudapi.common.profile.Language;
{{- end}}
import com.tencentcloudapi.common.profile.HttpProfile;
import com.tencentcloudapi.{{.Service}}.{{.Package}}.{{.Client}}Client;
import com.tencentcloudapi.{{.Service}}.{{.Package}}.models.{{.Action}}Request;
import com.tencentcloudapi.{{.Service}}.{{.Package}}.models.{{.Action}}Response;

public class Call {
  public static void main(String[] args) throws Exception {
    HttpProfile http = new HttpProfile();
    http.setProtocol("http://");
    http.setEndpoint({{.Q .Host}});
    ClientProfile profile = new ClientProfile();
    profile.setHttpProfile(http);
{{- if .Language}}
    profile.setLanguage(Language.{{if eq .Language "zh-CN"}}ZH_CN{{else}}EN_US{{end}});
{{- end}}
    Credential credential = new Credential({{.Q .SecretID}}, {{.Q .SecretKey}}{{if .Token}}, {{.Q .Token}}{{end}});
    {{.Client}}Client client = new {{.Client}}Client(credential, {{.Q .Region}}, profile);
    {{.Action}}Request request = {{.Action}}Request.fromJsonString({{.Q .JSON}}, {{.Action}}Request.class);
    System.out.println({{.Action}}Response.toJsonString(client.{{.Action}}(request)));
  }
}
`),
	"php": parse(`<?php // composer require tencentcloud/{{.Service}}
require_once 'vendor/autoload.php';

use TencentCloud\Common\Credential;
use TencentCloud\Common\Profile\ClientProfile;
use TencentCloud\Common\Profile\HttpProfile;
use TencentCloud\{{.Client}}\{{.PHPPackage}}\{{.Client}}Client;
use TencentCloud\{{.Client}}\{{.PHPPackage}}\Models\{{.Action}}Request;

$http = new HttpProfile();
$http->setProtocol('http://');
$http->setEndpoint({{.Single .Host}});
$profile = new ClientProfile();
$profile->setHttpProfile($http);
{{- if .Language}}
$profile->setLanguage({{.Single .Language}});
{{- end}}
$credential = new Credential({{.Single .SecretID}}, {{.Single .SecretKey}}{{if .Token}}, {{.Single .Token}}{{end}});
$client = new {{.Client}}Client($credential, {{.Single .Region}}, $profile);
$request = new {{.Action}}Request();
$request->fromJsonString({{.Single .JSON}});
echo $client->{{.Action}}($request)->toJsonString(), "\n";
`),
	"terraform": parse(`# ssm.{{.DomainName}} and tag.{{.DomainName}} must resolve: for localhost, a line "127.0.0.1 ssm.localhost tag.localhost" in the hosts file does it.
provider "tencentcloud" {
  secret_id  = {{.Q .SecretID}}
  secret_key = {{.Q .SecretKey}}
{{- if .Token}}
  security_token = {{.Q .Token}}
{{- end}}
  region   = {{.Q .Region}}
  protocol = "HTTP"
  domain   = {{.Q .Domain}}
}
`),
}

// Domain is what Terraform's provider puts a service's name before.
func (p program) Domain() string { return Domain(p.Host) }

// DomainName is the domain without its port.
func (p program) DomainName() string {
	name, _, _ := strings.Cut(p.Domain(), ":")
	return name
}

// Domain returns a domain that a service's name can stand before, for an
// address of the emulator: an IP address gets a name.
func Domain(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost"
	} else if ip != nil {
		host += ".nip.io"
	}
	if port == "" {
		return host
	}
	return host + ":" + port
}

// PHPPackage is the version as PHP's namespaces have it, such as V20190923.
func (p program) PHPPackage() string { return "V" + strings.ReplaceAll(p.Version, "-", "") }
