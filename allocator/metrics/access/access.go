// Package access says who may read the metrics.
package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Each look at the metrics costs the API server two requests. More looks than
// these are turned away, so that nobody can have Slotwise flood it.
const (
	looksPerSecond = 5
	looksAtOnce    = 10
)

// Whom the API server has let in is let in again without asking, so that others' bogus
// tokens, which use up the looks, do not turn a scraper away that comes once a minute. A
// token that is revoked works for as long.
const (
	admittedFor = 2 * time.Minute
	admittedMax = 64
)

// gate lets those read metrics whose bearer token the API server knows
// (TokenReview), and who may get the path (SubjectAccessReview), as any server of
// Kubernetes does.
//
// controller-runtime's filters.WithAuthenticationAndAuthorization is the same, but
// brings k8s.io/apiserver with it: gRPC, CEL and OpenTelemetry, which make the
// program two and a half times as big.
type gate struct {
	kube     kubernetes.Interface
	looks    *rate.Limiter
	admitted *cache.LRUExpireCache // looks that were let in
	log      logr.Logger
}

func newGate(kube kubernetes.Interface, looks *rate.Limiter, log logr.Logger) *gate {
	return &gate{kube: kube, looks: looks, admitted: cache.NewLRUExpireCache(admittedMax), log: log}
}

// look is what is asked. The token is not kept.
type look struct {
	token      [sha256.Size]byte
	verb, path string
}

// Filter is a FilterProvider of the metrics server.
func Filter(rc *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	kube, err := kubernetes.NewForConfigAndClient(rc, client)
	if err != nil {
		return nil, err
	}
	return func(log logr.Logger, inside http.Handler) (http.Handler, error) {
		return newGate(kube, rate.NewLimiter(looksPerSecond, looksAtOnce), log).guard(inside), nil
	}, nil
}

func (g *gate) guard(inside http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := g.admit(r); status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		inside.ServeHTTP(w, r)
	})
}

// admit returns the HTTP status of a request; http.StatusOK lets it in.
func (g *gate) admit(r *http.Request) int {
	token, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !has || token == "" {
		return http.StatusUnauthorized
	}
	asked := look{sha256.Sum256([]byte(token)), strings.ToLower(r.Method), r.URL.Path}
	if _, is := g.admitted.Get(asked); is {
		return http.StatusOK
	}
	if !g.looks.Allow() {
		return http.StatusTooManyRequests
	}
	status := g.review(r.Context(), token, asked)
	if status == http.StatusOK {
		g.admitted.Add(asked, struct{}{}, admittedFor)
	}
	return status
}

// review asks the API server, and returns the HTTP status.
func (g *gate) review(ctx context.Context, token string, asked look) int {
	user, known, err := g.user(ctx, token)
	if err != nil {
		return g.unanswered(err)
	}
	if !known {
		return http.StatusUnauthorized
	}
	may, err := g.may(ctx, user, asked.verb, asked.path)
	if err != nil {
		return g.unanswered(err)
	}
	if !may {
		return http.StatusForbidden
	}
	return http.StatusOK
}

// unanswered keeps the door shut where the API server has not answered.
func (g *gate) unanswered(err error) int {
	g.log.Info("cannot tell who reads the metrics", "error", err.Error())
	return http.StatusServiceUnavailable
}

// user asks whose token it is, and whether it is anybody's.
func (g *gate) user(ctx context.Context, token string) (authenticationv1.UserInfo, bool, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review, err := g.kube.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, false, fmt.Errorf("review a token: %w", err)
	}
	return review.Status.User, review.Status.Authenticated, nil
}

// may asks whether a user may do with a path what the verb says.
func (g *gate) may(ctx context.Context, user authenticationv1.UserInfo, verb, path string) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: path},
	}}
	review, err := g.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("review the access of %s: %w", user.Username, err)
	}
	return review.Status.Allowed, nil
}
