package cloud

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const (
	// dialTimeout bounds the opening of a connection. Nothing is lost by giving
	// up early: the request was not sent.
	dialTimeout = 5 * time.Second
	// attemptTimeout bounds one request with its answer. It is long, because to
	// give up on a change is to lose its answer, and the interface waits for a
	// lookup then.
	attemptTimeout = 45 * time.Second
	// idleConnections is how many are kept open to EC2, so that a burst of calls
	// finds them: as many as a bucket of changes holds tokens.
	idleConnections = 50
)

// Dial makes the SDK's EC2 client: credentials by the SDK's default chain; the
// region as given or else from the environment, the shared configuration, or
// the metadata service of the instance that this runs on. No request is made to
// EC2.
//
// endpoint replaces EC2's own, for a simulation or a private endpoint; empty
// leaves it to the SDK, which also reads AWS_ENDPOINT_URL_EC2. Plain HTTP is
// taken on loopback only.
func Dial(ctx context.Context, region, endpoint string, opts ...func(*config.LoadOptions) error) (*ec2.Client, error) {
	opts = append([]func(*config.LoadOptions) error{
		config.WithAppID("slotwise"),
		config.WithHTTPClient(httpClient()),
		config.WithRegion(region),
		config.WithEC2IMDSRegion(),
	}, opts...)
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w (the region is taken from the instance's metadata where neither a flag nor AWS_REGION gives it)", err)
	}
	client := ec2.NewFromConfig(cfg, func(o *ec2.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	if err := checkEndpoint(aws.ToString(client.Options().BaseEndpoint)); err != nil {
		return nil, err
	}
	return client, nil
}

// httpClient is the SDK's own kind of client, which alone honours AWS_CA_BUNDLE.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTimeout(attemptTimeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = idleConnections })
}

// checkEndpoint refuses an endpoint at which anybody on the way could read and
// forge EC2's answers. The empty one is EC2's own.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("EC2 endpoint: %w", err)
	case u.Hostname() == "":
		return fmt.Errorf("EC2 endpoint %q: no host; write it as https://host", endpoint)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("EC2 endpoint %q: use https; plain http is for loopback addresses only", endpoint)
	}
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
