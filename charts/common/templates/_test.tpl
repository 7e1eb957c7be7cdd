{{/*
`helm test`: checks on the management port of every pod of this release that it is ready and that its
backing services respond. A headless Service for the test finds the pods, so that it works for worker
and for a canary too. The pod is outside the mesh, like that port. All objects have one name, by which
`helm test --logs` finds the pod.
*/}}
{{- define "common.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: {{ .delete }}
{{- end -}}

{{- define "common.test" -}}
{{- $name := printf "%s-test" (include "common.fullname" .) }}
{{- $selected := printf "%s-test" .Chart.Name }}
{{- $labels := include "common.labelsOf" (dict "root" . "name" $selected) }}
{{- $hook := include "common.testHook" (dict "weight" -10 "delete" "before-hook-creation,hook-succeeded") }}
{{- $port := .Values.ports.management }}
{{- $account := include "common.hookAccountName" (dict "root" . "suffix" "test") }}
{{- if .Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $account }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
spec:
  clusterIP: None
  {{- include "common.ipFamilies" . | nindent 2 }}
  selector:
    {{- include "common.selector" . | nindent 4 }}
  ports:
    - {name: management, port: {{ $port }}, targetPort: management, protocol: TCP, appProtocol: http}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
    twelvefold.dev/to-management: "asks every pod of the release how it is"
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $selected }}
      app.kubernetes.io/instance: {{ .Release.Name }}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    {{- include "common.egressToDns" . | nindent 4 }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "common.selector" . | nindent 14 }}
      ports:
        - {protocol: TCP, port: {{ $port }}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
    app.kubernetes.io/component: test
    {{- include "common.outsideMesh" . | nindent 4 }}
  annotations:
    # Kept until the next test for `helm test --logs`.
    {{- include "common.testHook" (dict "weight" 0 "delete" "before-hook-creation") | nindent 4 }}
    checkov.io/skip1: "CKV_K8S_8=runs once and ends; activeDeadlineSeconds bounds it"
    checkov.io/skip2: "CKV_K8S_9=the test serves no requests"
    checkov.io/skip3: "CKV_K8S_11=runs once and ends"
    {{- include "common.annotations" . | nindent 4 }}
spec:
  serviceAccountName: {{ $account }}
  automountServiceAccountToken: false
  restartPolicy: Never
  activeDeadlineSeconds: 120
  {{- include "common.pod" . | nindent 2 }}
  containers:
    - name: test
      {{- include "common.container" . | nindent 6 }}
      command: [python3, -c]
      args:
        - |
          import json, socket, sys, time, urllib.error, urllib.request

          # The short name resolves to this pod.
          pods = "{{ $name }}.{{ .Release.Namespace }}.svc.{{ .Values.global.mesh.clusterDomain }}"

          def state(address):
              try:
                  with urllib.request.urlopen(f"http://{address}:{{ $port }}/readyz", timeout=5) as answer:
                      return json.load(answer)
              except urllib.error.HTTPError as error:
                  return json.load(error)
              except OSError as error:
                  return {"status": str(error)}

          def states():
              try:
                  found = socket.getaddrinfo(pods, {{ $port }}, type=socket.SOCK_STREAM)
              except OSError as error:
                  return {pods: {"status": str(error)}}
              hosts = {f"[{entry[4][0]}]" if ":" in entry[4][0] else entry[4][0] for entry in found}
              return {host: state(host) for host in sorted(hosts)}

          deadline = time.monotonic() + 60
          while True:
              seen = states()
              failed = [host for host, found in seen.items() if found["status"] != "ok"]
              if not failed or time.monotonic() > deadline:
                  break
              time.sleep(1)
          for host, found in seen.items():
              print(host, json.dumps(found))
          sys.exit(f"not ok: {', '.join(failed)}" if failed else 0)
      resources:
        requests: {cpu: 10m, memory: 32Mi, ephemeral-storage: 16Mi}
        limits: {memory: 128Mi, ephemeral-storage: 64Mi}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 16Mi}
{{- end -}}
