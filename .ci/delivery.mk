# From a commit to running pods; included by the Makefile. CI calls these targets and nothing else.

##@ Ship
# The images to build, and their names. BASE_IMAGE replaces the base that the Dockerfiles pin.
IMAGES ?= $(SERVICES) backing
REPOSITORY ?= ghcr.io/twelvefold
TAG ?= dev
TAGS ?=
BASE_IMAGE ?=
# Recipes read these from the environment, so that make never expands values from outside.
export IMAGES REPOSITORY TAG TAGS BASE_IMAGE SOURCE BRANCHES CACHE_BRANCH
# Derived from the commit, so that each build of it has the same version.
VERSION = $(shell TZ=UTC0 git show -s --date=format-local:%Y.%m.%d --format=%cd-%H | cut -c1-18)
# The commit's time (UTC), of which the charts' version is made.
TIME = $(shell TZ=UTC0 git show -s --date=format-local:%Y.%m%d.%H%M%S --format=%cd)
# The repository whose pipeline signs: the one that runs it.
SOURCE ?= $(if $(GITHUB_REPOSITORY),$(GITHUB_SERVER_URL)/$(GITHUB_REPOSITORY),https://github.com/twelvefold/twelvefold)
BRANCHES ?= main|develop
GRYPE ?= grype
CACHE_BRANCH ?= main
CACHE = type=registry,ref=$$REPOSITORY/$$image:buildcache
# The digest of an image that images-push pushed.
PUSHED = $$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' dist/images/$$image.json)

# A JSON array of the names of a list.
space := $(subst ,, )
json = [$(subst $(space),$(comma),$(foreach name,$(1),"$(name)"))]
comma := ,

.PHONY: matrix
matrix: ## Print the services and the images as JSON, for the matrices of workflows
	@echo 'services=$(call json,$(SERVICES))'
	@echo 'images=$(call json,$(IMAGES))'

.PHONY: images
images: ## Build the images with Docker (IMAGES="api users" TAG=dev BASE_IMAGE=… ARGS=--load)
	@docker buildx version >/dev/null 2>&1 || { \
	  echo "building images needs Docker with buildx: https://docs.docker.com/build/install-buildx" >&2; exit 1; }
	@mkdir -p dist/images
	@set -e; export SOURCE_DATE_EPOCH="$$(git show -s --format=%ct)"; for image in $$IMAGES; do \
	  case $$image in backing) file=libs/Dockerfile ;; *) file=services/Dockerfile ;; esac; \
	  set --; for tag in $$TAGS; do set -- "$$@" --tag "$$tag"; done; \
	  echo "Building $$REPOSITORY/$$image:$$TAG"; \
	  docker buildx build --file $$file --tag "$$REPOSITORY/$$image:$$TAG" "$$@" \
	    --build-arg SERVICE=$$image --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION="$$(git rev-parse HEAD)" \
	    $${BASE_IMAGE:+--build-arg BASE_IMAGE="$$BASE_IMAGE"} $(ARGS) .; \
	done

.PHONY: images-test
images-test: $(SYNCED) ## Run the built images as a cluster does: read-only, no capabilities, SIGTERM
	@IMAGES_UNDER_TEST="$$TAG" exec $(BIN)/pytest tests/images -n 0 -v $(ARGS)

.PHONY: images-multiarch
images-multiarch: ARGS = --platform linux/amd64,linux/arm64 --cache-from $(CACHE)-main --output type=image,push=false
images-multiarch: images ## Build the images for both architectures, without pushing them

.PHONY: images-push
images-push: ARGS = --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max \
  --cache-from $(CACHE)-main --cache-from $(CACHE)-$$CACHE_BRANCH \
  --cache-to $(CACHE)-$$CACHE_BRANCH,mode=max --metadata-file dist/images/$$image.json \
  --output type=image,push=true,rewrite-timestamp=true
images-push: images ## Build and push the images with SBOM and provenance (TAGS="…" adds names)

.PHONY: images-pull
images-pull: ## Pull the digests that images-push pushed, under the local name TAG
	@set -e; for image in $$IMAGES; do \
	  docker pull --quiet "$$REPOSITORY/$$image@$(PUSHED)"; \
	  docker tag "$$REPOSITORY/$$image@$(PUSHED)" "$$REPOSITORY/$$image:$$TAG"; \
	done

.PHONY: sign
sign: ## Sign the digests that images-push pushed and attest their provenance, without a key (cosign)
	@set -e; for image in $$IMAGES; do .ci/sign "$$REPOSITORY/$$image@$(PUSHED)"; done

.PHONY: verify
verify: ## Fail for images that this repository's pipeline did not sign on one of BRANCHES (cosign)
	@set -e; for image in $$IMAGES; do .ci/verify "$$image"; done

.PHONY: scan-images
scan-images: ## Report known vulnerabilities in images, pushed or local (grype; SARIF in dist/scan)
	@command -v "$(GRYPE)" >/dev/null || { \
	  echo "scanning images needs grype: https://github.com/anchore/grype#installation" >&2; exit 1; }
	@mkdir -p dist/scan
	@set -e; scan() { \
	  "$(GRYPE)" "$$1" $$3 --only-fixed --fail-on high --output table --output "sarif=dist/scan/$$2.sarif"; }; \
	for image in $$IMAGES; do \
	  if [ -e "dist/images/$$image.json" ]; then \
	    for platform in amd64 arm64; do \
	      scan "registry:$$REPOSITORY/$$image@$(PUSHED)" "$$image-$$platform" "--platform linux/$$platform"; \
	    done; \
	  else scan "docker:$$REPOSITORY/$$image:$$TAG" "$$image" ""; fi; \
	done

.PHONY: audit
audit: $(SYNCED) ## Report known vulnerabilities in the locked packages (queries osv.dev)
	@$(BIN)/uv audit --frozen --preview-features audit

.PHONY: audit-workflows
audit-workflows: $(DELIVERY) ## Run zizmor's online audits (GH_TOKEN); check-delivery runs the offline ones
	@$(BIN)/zizmor .github

.PHONY: version
version: ## Print the version of a release of this commit
	@echo version=$(VERSION)

.PHONY: commits
commits: ## List the commits since the last release, as release notes
	@last=$$(git describe --tags --abbrev=0 --match '20*' HEAD^ 2>/dev/null || true); \
	git log --no-merges --format='- %s (%h)' "$${last:+$$last..}HEAD"

.PHONY: release
release: wheels client-pack ## Tag this commit and publish its notes and the packages of libs (gh)
	@mkdir -p dist && $(MAKE) --silent commits > dist/changelog.md
	@gh release create "$(VERSION)" --target "$$(git rev-parse HEAD)" --notes-file dist/changelog.md \
	  dist/wheels/twelvefold*.whl dist/wheels/twelvefold-client-*.tgz

.PHONY: wheels
wheels: $(SYNCED) ## Build the wheels of libs with the version of this release into dist/wheels
	@$(BIN)/python .ci/wheels.py dist/wheels

.PHONY: client-pack
client-pack: $(CLIENT_TS)/$(INSTALLED) ## Pack the TypeScript client with the version of this release into dist/wheels
	@.ci/client-pack "$(VERSION)" dist/wheels

.PHONY: charts-package
charts-package: ## Package the charts with this version and the images' digests (helm; dist/charts, dist/istio)
	@.ci/charts-package "$(VERSION)" "$(TIME)"

.PHONY: charts-push
charts-push: ## Package the charts with this version, push and sign them (helm, cosign)
	@.ci/charts-push "$(VERSION)" "$(TIME)"

.PHONY: cluster-kind
cluster-kind: ## Create a local cluster with Istio and the built images (kind, istioctl)
	@.ci/cluster-kind

.PHONY: cluster-report
cluster-report: ## Print pods, warnings and logs of a cluster after a failure (kubectl)
	@kubectl get pods --all-namespaces --output wide
	@kubectl get events --all-namespaces --field-selector type=Warning --sort-by .lastTimestamp | tail -n 40
	@kubectl get pods --all-namespaces --no-headers --selector app.kubernetes.io/part-of=twelvefold \
	  | while read -r namespace pod _; do echo "== $$namespace $$pod"; \
	    kubectl --namespace "$$namespace" logs "$$pod" --all-containers --tail 30 || true; done

.PHONY: deploy-tools
deploy-tools: $(SYNCED) ## Install all that a deployment runs, before a step has the rights of a cluster
	@.ci/helm

.PHONY: deploy-staging
deploy-staging: $(SYNCED) ## Roll out every service on staging, blue-green (helm; TAG=… SITE=…)
	@.ci/deploy staging

.PHONY: deploy-production
deploy-production: $(SYNCED) ## Roll out every service on production (STRATEGY=canary ROLLOUT="--pause 2m")
	@.ci/deploy production

.PHONY: pipeline
pipeline: ## Run the steps of CI in their order, except those that need a registry
	@.ci/pipeline
