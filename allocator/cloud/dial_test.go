package cloud

import (
	"strings"
	"testing"
)

func TestCheckEndpoint(t *testing.T) {
	const refused = false
	cases := map[string]struct {
		endpoint string
		want     bool
	}{
		"EC2's own":              {endpoint: "", want: true},
		"https":                  {endpoint: "https://ec2.eu-west-1.amazonaws.com", want: true},
		"http on 127.0.0.1":      {endpoint: "http://127.0.0.1:4566", want: true},
		"http on another 127":    {endpoint: "http://127.8.8.8:4566", want: true},
		"http on ::1":            {endpoint: "http://[::1]:4566", want: true},
		"http on localhost":      {endpoint: "http://localhost:4566", want: true},
		"http abroad":            {endpoint: "http://10.0.0.1:4566", want: refused},
		"http on a name":         {endpoint: "http://ec2sim.test:4566", want: refused},
		"a name like loopback's": {endpoint: "http://127.0.0.1.test", want: refused},
		"no scheme":              {endpoint: "127.0.0.1:4566", want: refused},
		"another scheme":         {endpoint: "ftp://localhost", want: refused},
		"no host":                {endpoint: "https://", want: refused},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := checkEndpoint(c.endpoint); (err == nil) != c.want {
				t.Errorf("%q: %v", c.endpoint, err)
			}
		})
	}
}

// isolate keeps the machine's own AWS configuration out of a test.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestDialFindsTheRegion(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	cases := map[string]struct{ given, want string }{
		"given":                {given: "eu-west-1", want: "eu-west-1"},
		"from the environment": {given: "", want: "eu-central-1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client, err := Dial(t.Context(), c.given, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := client.Options().Region; got != c.want {
				t.Errorf("region %q, want %q", got, c.want)
			}
		})
	}
}

func TestDialWithoutARegion(t *testing.T) {
	isolate(t)
	_, err := Dial(t.Context(), "", "")
	if err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("the error does not name the fix: %v", err)
	}
}

func TestDialChecksTheEndpointOfTheEnvironment(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_ENDPOINT_URL_EC2", "http://ec2.example")
	_, err := Dial(t.Context(), "eu-west-1", "")
	if err == nil || !strings.Contains(err.Error(), "http://ec2.example") {
		t.Errorf("plain HTTP is taken from the environment: %v", err)
	}
}
