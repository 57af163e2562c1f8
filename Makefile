# Needs Go, git, a C compiler and make. Everything else is built from Go modules.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE ?= slotwise
PLATFORMS ?=

TOOLS := test/tools/bin
CONTROLPLANE := etcd kube-apiserver kube-scheduler kwok kubectl

##@ Use

.PHONY: help
help: ## Show this text.
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools ## Tell the story of a migration, live, on a local cluster. KEEP=1 leaves it up.
	go run ./test/demo $(if $(KEEP),--keep)

.PHONY: build
build: ## Build bin/slotwise.
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/slotwise ./cmd/slotwise

.PHONY: image
image: ## Build the container image $(IMAGE):$(VERSION). PLATFORMS=linux/amd64,linux/arm64 for several.
	docker buildx build --build-arg VERSION=$(VERSION) $(if $(PLATFORMS),--platform $(PLATFORMS)) --tag $(IMAGE):$(VERSION) .

##@ Develop

.PHONY: test
test: tools ## Run all tests, on a local control plane. TESTFLAGS= for less output.
	go test -timeout 8m $(TESTFLAGS) ./...
TESTFLAGS ?= -v

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Check form, vet, linters, and that the go.mod files are tidy.
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	$(TOOLS)/golangci-lint run ./...
	@for module in . test/tools/controlplane test/tools/dev; do \
		echo "go mod tidy -diff in $$module"; (cd $$module && go mod tidy -diff) || exit 1; done

.PHONY: clean
clean: ## Remove what was built, the tools included.
	rm -rf bin $(TOOLS)

##@ Tools

# Binaries of KUBEBUILDER_ASSETS are used instead of building them.
.PHONY: tools
tools: $(foreach tool,$(CONTROLPLANE),$(if $(and $(KUBEBUILDER_ASSETS),$(wildcard $(KUBEBUILDER_ASSETS)/$(tool))),,$(TOOLS)/$(tool))) ## Build the local control plane into test/tools/bin, what is missing.

$(addprefix $(TOOLS)/,$(CONTROLPLANE)): test/tools/controlplane/go.mod test/tools/controlplane/go.sum
	@test/tools/build test/tools/controlplane $(PACKAGE) $(@F) '$(ABOUT)'
$(TOOLS)/etcd:           PACKAGE = go.etcd.io/etcd/server/v3
$(TOOLS)/etcd:           ABOUT = 10 seconds
$(TOOLS)/kube-apiserver: PACKAGE = k8s.io/kubernetes/cmd/kube-apiserver
$(TOOLS)/kube-apiserver: ABOUT = 5 minutes
$(TOOLS)/kube-scheduler: PACKAGE = k8s.io/kubernetes/cmd/kube-scheduler
$(TOOLS)/kube-scheduler: ABOUT = 1 minute
$(TOOLS)/kwok:           PACKAGE = sigs.k8s.io/kwok/cmd/kwok
$(TOOLS)/kwok:           ABOUT = 20 seconds
$(TOOLS)/kubectl:        PACKAGE = k8s.io/kubernetes/cmd/kubectl
$(TOOLS)/kubectl:        ABOUT = 30 seconds

$(TOOLS)/golangci-lint: test/tools/dev/go.mod test/tools/dev/go.sum
	@test/tools/build test/tools/dev github.com/golangci/golangci-lint/v2/cmd/golangci-lint $(@F) '3 minutes'
