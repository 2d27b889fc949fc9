# Dagyo's tasks. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

MODULES := schemas pkg executor services/validator services/planner services/spawner \
           services/panic-aggregator services/gateway services/dagyo tests tests/bench
PACKAGES := $(addsuffix /...,$(addprefix ./,$(MODULES)))

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)
# Without it, each process under the race detector waits for a second before it exits, and tests start thousands.
export GORACE ?= atexit_sleep_ms=0

# The commit of the source, with -dirty behind it where there are changes.
COMMIT ?= $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null)
COMMIT_FLAG := -X github.com/dagyo/dagyo/pkg/service.Commit=$(COMMIT)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: bin/dagyo ## run a sample flow on an embedded NATS; print its outputs and verdict
	bin/dagyo run tests/flows/greetings.json
	@echo 'To see flows in a browser: bin/dagyo up, and then bin/dagyo console.'

.PHONY: build
build: bin/dagyo ## build bin/dagyo

.PHONY: bin/dagyo
bin/dagyo:
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(COMMIT_FLAG)' -o bin/dagyo ./services/dagyo

.PHONY: test
test: ## all tests that need nothing but Go
	go vet $(PACKAGES)
	go test $(RACE) -timeout 20m $(PACKAGES)

.PHONY: conformance-image
conformance-image: bin/dagyo ## run the conformance checks against an image; needs Docker on this machine
	CGO_ENABLED=0 go test -c -o bin/image/conformance.test ./tests/conformance
	docker build --quiet --tag dagyo-conformance-echo --file tests/conformance/Dockerfile bin/image
	bin/dagyo conformance --image dagyo-conformance-echo

PYTHON_SDK := executor/python
VENV := $(PYTHON_SDK)/.venv

.PHONY: python
python: $(VENV)/installed bin/dagyo ## check and test the Python SDK; needs python3 >= 3.10 with venv
	cd $(PYTHON_SDK) && .venv/bin/ruff check . && .venv/bin/ruff format --check .
	cd $(PYTHON_SDK) && .venv/bin/mypy
	cd $(PYTHON_SDK) && .venv/bin/pytest -q $(PYTEST)
	bin/dagyo conformance -- $(VENV)/bin/python $(PYTHON_SDK)/examples/echo.py
	rm -rf bin/project && bin/dagyo init python --sdk . --name redact bin/project && ln -s $(CURDIR)/$(VENV) bin/project/.venv
	cd bin/project && .venv/bin/python -m unittest && .venv/bin/ruff check . && .venv/bin/mypy --strict redact.py
	bin/dagyo test bin/project
	PATH=$(CURDIR)/$(VENV)/bin:$$PATH DAGYO_TEST_PYTHON=1 go test -count 1 -run TestDocumentedReceivers ./tests/webhooks

$(VENV)/installed: $(PYTHON_SDK)/pyproject.toml
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '$(PYTHON_SDK)[dev]'
	touch $@

EXAMPLES := examples/.venv

.PHONY: examples
examples: $(EXAMPLES)/installed bin/dagyo ## test the projects in examples; needs python3 >= 3.10 with venv, and 400 MB
	bin/dagyo test examples

$(EXAMPLES)/installed: examples/requirements.txt $(PYTHON_SDK)/pyproject.toml
	python3 -m venv $(EXAMPLES)
	cd examples && .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

# The web console, from Svelte and TypeScript. What is built is committed, so that Go needs no Node.
CONSOLE := services/gateway/console

$(CONSOLE)/node_modules: $(CONSOLE)/package-lock.json
	cd $(CONSOLE) && npm ci --silent
	touch $@

.PHONY: console
console: $(CONSOLE)/node_modules ## build the web console into services/gateway/console/dist; needs Node 20.19 or later
	cd $(CONSOLE) && npm run --silent build

.PHONY: console-test
console-test: console bin/dagyo bin/provider ## check and test the web console in a real browser (CHROMIUM); needs Node, Chromium
	git diff --exit-code -- $(CONSOLE)/dist
	test -z "$$(git status --porcelain -- $(CONSOLE)/dist)"
	cd $(CONSOLE) && npm run --silent check && npm test --silent && DAGYO=$(CURDIR)/bin/dagyo PROVIDER=$(CURDIR)/bin/provider npm run --silent browser

# A provider of OpenID Connect, for tests of the console.
.PHONY: bin/provider
bin/provider:
	go build -o bin/provider ./tests/provider/serve

.PHONY: console-pictures
console-pictures: console bin/dagyo ## make the pictures of the console in docs/images
	cd $(CONSOLE) && PICTURES=$(CURDIR)/docs/images DAGYO=$(CURDIR)/bin/dagyo node --test --test-name-pattern pictures browser/

CLIENT_TS := clients/typescript

$(CLIENT_TS)/node_modules: $(CLIENT_TS)/package-lock.json
	cd $(CLIENT_TS) && npm ci --silent
	touch $@

.PHONY: client-typescript
client-typescript: $(CLIENT_TS)/node_modules bin/dagyo ## check and test the TypeScript client, in a browser too (CHROMIUM); needs Node, Chromium
	cd $(CLIENT_TS) && npm run --silent build && npm run --silent check && DAGYO=$(CURDIR)/bin/dagyo npm test --silent

.PHONY: python-bench
python-bench: $(VENV)/installed ## records a second of the Python SDK beside plain nats-py
	cd $(PYTHON_SDK) && .venv/bin/python bench/edge.py

# make faults SCHEDULES=100 SEED=1 SERVERS=3 FAULTS=kill-leader,pause SHRINK=10
.PHONY: faults
faults: bin/dagyo ## run installations in which named parts fail, and judge their flows: SCHEDULES=100 (tests/faults); needs root
	go build -o bin/faults ./tests/faults
	bin/faults -schedules $(or $(SCHEDULES),4) -seed $(or $(SEED),0) -servers $(or $(SERVERS),0) -faults '$(FAULTS)' -shrink $(or $(SHRINK),0)

.PHONY: flakes
flakes: ## run the concurrent tests many times: COUNT=200 PACKAGE=./tests/e2e RUN=TestName
	go test $(RACE) -count $(or $(COUNT),200) -run '$(or $(RUN),.)' $(or $(PACKAGE),./tests/edge)
	GOMAXPROCS=1 go test -count $(or $(COUNT),200) -run '$(or $(RUN),.)' $(or $(PACKAGE),./tests/edge)

FAULTS_CORE := ManyFlows|Paused|Clocks|Foreign|Hostile|Poison|LargeObject|Refused|EveryDeadLetter|PlanBehind|QueuedFlow|Flood|SweptMailboxes|ServicesWait|AnyAge|StatusIsCurrent|IDsAreTaken|BrokenSnapshots|Upgrade

.PHONY: faults-core
faults-core: ## the faults of services (pauses, hostile events, floods, snapshots), leaders paused for 35 and 130 s and 10,000 flows included: 20 minutes
	DAGYO_TEST_LONG=1 go test $(RACE) -v -count $(or $(COUNT),1) -timeout 60m -run 'Test($(FAULTS_CORE))' ./tests/e2e

.PHONY: faults-load
faults-load: ## no job is lost on a machine that is busy for 10 minutes, with 15 programs for each of 2 cores
	DAGYO_TEST_LONG=1 go test -v -count 1 -timeout 30m -run TestBusyMachine ./tests/e2e

.PHONY: bench
bench: ## measure every figure next to its reference; the page goes to docs/bench
	go run ./tests/bench

.PHONY: bench-short
bench-short: ## the same, small, in under 2 minutes: shows that it all runs
	go run ./tests/bench -short

.PHONY: bench-tenants
bench-tenants: ## what an idle tenant costs, with TENANTS (default 100) of them: processor, memory, and the time to add one
	cd services/dagyo && DAGYO_TENANTS=$(TENANTS) go test ./local -run '^$$' -bench IdleTenants -benchtime 1x -timeout 1h

.PHONY: simulate
simulate: ## search CHECKS (default 20000) random histories of all services for a bad end; SEED repeats a search
	go test ./tests/simulation -count 1 -timeout 2h -rapid.checks $(or $(CHECKS),20000) $(if $(SEED),-rapid.seed $(SEED))

.PHONY: simulate-scale
simulate-scale: ## compute and simulate what a cell of three NATS servers carries: docs/scale.md
	go run ./tests/scale

.PHONY: metrics
metrics: bin/dagyo ## test metrics, alerts and the scrape of `dagyo up` with a real Prometheus; needs Debian's package prometheus
	tests/metrics.sh

.PHONY: traces
traces: bin/dagyo bin/collector ## test the traces of `dagyo up` with a real OpenTelemetry collector, built from Go modules
	tests/traces.sh

.PHONY: bin/collector
bin/collector:
	@mkdir -p bin
	cd tests/collector && GOWORK=off go mod tidy -diff
	cd tests/collector && GOWORK=off CGO_ENABLED=0 go build -trimpath -gcflags='all=-dwarf=false' -ldflags '-s -w' -o ../../$@ .

.PHONY: fuzz
fuzz: ## fuzz every decoder with INPUTS (default 1000000) each
	tests/fuzz.sh $(or $(INPUTS),1000000)

.PHONY: generate
generate: ## write docs/events.md, docs/metrics.md and the AsyncAPI document from the tables in pkg
	go run ./pkg/internal/gendocs

.PHONY: verify
verify: generate ## check formatting, generated files, and that each module builds alone
	@test -z "$$(gofmt -l $(MODULES))" || { gofmt -l $(MODULES); echo 'run gofmt -w on these'; exit 1; }
	git diff --exit-code -- docs/events.md docs/metrics.md schemas/generated
	for m in $(MODULES); do (cd $$m && GOWORK=off CGO_ENABLED=0 go build -trimpath ./... && GOWORK=off go mod tidy -diff) || exit 1; done

# What the binary is made of, according to itself, with the licences that the tool finds in the modules.
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: sbom
sbom: dist/dagyo ## write the bill of materials of the binary and the image (CycloneDX), with licences
	go run $(CYCLONEDX) bin -json -licenses -std -version $(VERSION) -output dist/dagyo.cdx.json dist/dagyo 2>dist/sbom.log || { cat dist/sbom.log; exit 1; }
	@test "$$(grep -c '"purl"' dist/dagyo.cdx.json)" -gt 50

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities in what the binary calls; needs the vulnerability database of Go
	@mkdir -p bin
	@cd services/dagyo && go run $(GOVULNCHECK) ./... 2>&1 | tee ../../bin/vulncheck.log; found=$${PIPESTATUS[0]}; \
	if grep -q 'fetching vulnerabilities' ../../bin/vulncheck.log; then \
		echo 'the vulnerability database cannot be reached: nothing was checked'; else exit $$found; fi

# What the images are made of: static, for Linux, from the modules' own go.mod (GOWORK=off), so that it is the
# same here and in the Dockerfile.
VERSION ?= 0.1.0
DIST := GOWORK=off GOOS=linux CGO_ENABLED=0 go build -trimpath

.PHONY: dist
dist: dist/dagyo dist/nats-server ## build dist/, from which the images need no base image and no registry

.PHONY: dist/dagyo
dist/dagyo:
	cd services/dagyo && $(DIST) -ldflags '-s -w -X github.com/dagyo/dagyo/pkg/service.Version=$(VERSION) $(COMMIT_FLAG)' -o ../../$@ .

.PHONY: dist/nats-server
dist/nats-server:
	cd services/dagyo && $(DIST) -ldflags '-s -w' -o ../../$@ github.com/nats-io/nats-server/v2

.PHONY: images
images: dist sbom ## build the images dagyo and dagyo-nats from dist/; needs Docker, and no registry
	docker build --quiet --tag dagyo --target prebuilt --build-arg VERSION=$(VERSION) .
	docker build --quiet --tag dagyo-nats --file deploy/nats/Dockerfile dist

# The group that may use the Docker socket; where there is no such file (Docker Desktop), it is root's in the daemon's machine.
DOCKER_GID ?= $(shell stat -c %g /var/run/docker.sock 2>/dev/null || echo 0)
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

PYTHON_BASE := dagyo-python-base

.PHONY: python-base
python-base: ## build the image dagyo-python-base from Debian packages, unless it is there; needs mmdebstrap
	docker image inspect $(PYTHON_BASE) >/dev/null 2>&1 || deploy/docker/python-base.sh $(PYTHON_BASE)

bin/wheels: $(PYTHON_SDK)/pyproject.toml
	python3 -m venv bin/wheels-venv
	bin/wheels-venv/bin/pip wheel --quiet --disable-pip-version-check --wheel-dir $@ hatchling 'nats-py[nkeys]>=2.10,<3' 'cryptography>=42'
	touch $@

.PHONY: compose
compose: images python-base bin/wheels ## test the compose stack; needs root, Docker, Compose, python3, mmdebstrap
	COMPOSE='$(COMPOSE)' go test -tags docker -count 1 -v -timeout 15m ./tests/compose

DAGYO_PORT ?= $(shell sed -n 's/^DAGYO_PORT=//p' .env)

.PHONY: compose-up
compose-up: build ## start the compose stack, and make a context for it; settings are in .env
	DOCKER_GID=$(DOCKER_GID) $(COMPOSE) up -d
	$(COMPOSE) run --rm -T auth user add me --role operator --data /auth --out - | \
		bin/dagyo context add compose --replace --server nats://127.0.0.1:$(DAGYO_PORT) --creds -

.PHONY: compose-down
compose-down: ## take the compose stack away, its executors too; the volume stays
	DOCKER_GID=$(DOCKER_GID) $(COMPOSE) down --remove-orphans

.PHONY: docker
docker: ## test the Docker backend and the building of images on this machine's Docker daemon
	go test $(RACE) -count 1 -timeout 20m -tags docker ./services/spawner/docker/... ./services/spawner/image

# A Kubernetes for tests, from Go modules and Debian packages: see tests/kubernetes/README.md.
KUBERNETES := bin/kubernetes
KUBERNETES_VERSION := v1.36.3
# The packages whose tests with the tag kubernetes are run in the cluster, and its nodes.
KUBERNETES_TESTS := ./tests/kubernetes ./tests/kubernetes/backend ./tests/kubernetes/e2e
KUBERNETES_NODES := real=1,simulated=5
# What is compiled cold and runs for a minute is compiled sooner without debugging information and
# inlining. All of it in one way, for then the packages that the programs share are compiled once.
KUBERNETES_FLAGS := -trimpath -gcflags='all=-dwarf=false -l'

.PHONY: kubernetes
kubernetes: kubernetes-build dist ## run the tests that need it in a real Kubernetes; takes root
	cd tests/kubernetes/distribution && GOWORK=off go mod tidy -diff
	CGO_ENABLED=0 go vet $(KUBERNETES_FLAGS) -tags kubernetes $(KUBERNETES_TESTS)
	for p in $(KUBERNETES_TESTS); do name=$${p#./}; CGO_ENABLED=0 go test -c -tags kubernetes \
		$(KUBERNETES_FLAGS) -o $(KUBERNETES)/$${name//\//-}.test $$p || exit; done
	$(KUBERNETES)/cluster down
	$(KUBERNETES)/cluster run -nodes $(KUBERNETES_NODES) -- tests/kubernetes/run.sh $(KUBERNETES) $(KUBERNETES_TESTS)

.PHONY: kubernetes-build
kubernetes-build: ## build Kubernetes and the harness: minutes from an empty cache
	@mkdir -p $(KUBERNETES)
	cd tests/kubernetes/distribution && GOWORK=off CGO_ENABLED=0 go build $(KUBERNETES_FLAGS) \
		-ldflags '-s -w $(foreach p,k8s.io/component-base k8s.io/client-go/pkg,-X $(p)/version.gitVersion=$(KUBERNETES_VERSION))' \
		-o ../../../$(KUBERNETES)/kubernetes .
	CGO_ENABLED=0 go build $(KUBERNETES_FLAGS) -ldflags '-s -w' -o $(KUBERNETES)/ ./tests/kubernetes/cmd/...

.PHONY: kubernetes-deps
kubernetes-deps: ## install Debian's packages that the cluster runs on
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		containerd runc containernetworking-plugins iproute2 nftables >/dev/null

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist $(VENV)
