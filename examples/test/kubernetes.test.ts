// The manifests, against the schemas of Kubernetes and of the gateway, and against each other.
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
import { Deployment } from "kubernetes-models/apps/v1"
import { HorizontalPodAutoscaler } from "kubernetes-models/autoscaling/v2"
import { PodDisruptionBudget } from "kubernetes-models/policy/v1"
import { ConfigMap, Service } from "kubernetes-models/v1"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { parse, parseAllDocuments } from "yaml"

const documents = parseAllDocuments(readFileSync(new URL("../kubernetes/gateway.yaml", import.meta.url), "utf8")).map(
  (document) => document.toJS() as { readonly kind: string }
)

const kinds = { ConfigMap, Deployment, HorizontalPodAutoscaler, PodDisruptionBudget, Service, ServiceMonitor }

const all = <Kind extends keyof typeof kinds>(kind: Kind) =>
  documents
    .filter((document) => document.kind === kind)
    .map((document) => new kinds[kind](document as never) as InstanceType<(typeof kinds)[Kind]>)

const one = <Kind extends keyof typeof kinds>(kind: Kind) => all(kind)[0] ?? assert.fail(`no ${kind}`)

describe("the manifests for Kubernetes", () => {
  it.each(documents)("have a valid $kind", (document) => {
    assert.property(kinds, document.kind)
    one(document.kind as keyof typeof kinds).validate()
  })

  it("are refused with a field that does not fit", () => {
    const deployment = structuredClone(one("Deployment").toJSON()) as { spec: { template: { spec: { containers: unknown } } } }
    deployment.spec.template.spec.containers = "gateway"
    assert.throws(() => new Deployment(deployment as never).validate(), /containers/)
  })

  it("select the pods of the deployment, by the names of its ports", () => {
    const { labels } = one("Deployment").spec?.template.metadata ?? {}
    const containers = one("Deployment").spec?.template.spec?.containers ?? []
    const ports = new Set(containers.flatMap(({ ports = [] }) => ports.map(({ name }) => name)))
    for (const { spec } of all("Service")) {
      assert.include(labels, spec?.selector)
      for (const { targetPort } of spec?.ports ?? []) assert.isTrue(ports.has(String(targetPort)))
    }
    assert.include(labels, one("PodDisruptionBudget").spec?.selector?.matchLabels)
    const monitor = one("ServiceMonitor").spec
    const monitored = all("Service").filter(({ metadata }) =>
      Object.entries(monitor.selector.matchLabels ?? {}).every(([name, value]) => metadata?.labels?.[name] === value)
    )
    assert.deepStrictEqual(
      monitored.map(({ metadata }) => metadata?.name),
      ["paradigm-gateway-operator"]
    )
    assert.deepStrictEqual(
      monitor.endpoints?.map(({ port }) => port),
      monitored[0]?.spec?.ports?.map(({ name }) => name)
    )
  })

  it("have a configuration that the gateway accepts, and give its streams their time", () => {
    const text = one("ConfigMap").data?.["gateway.yaml"] ?? assert.fail("no configuration")
    const folder = mkdtempSync(join(tmpdir(), "kubernetes-"))
    try {
      const file = join(folder, "gateway.yaml")
      writeFileSync(file, text.replace("enabled: false", "enabled: true"))
      const gateway = fileURLToPath(new URL("../../apps/gateway/src/main.ts", import.meta.url))
      // The replicas of the example cannot be reached from here, which is a warning.
      const said = execFileSync(process.execPath, [gateway, "check", file], {
        encoding: "utf8",
        env: { ...process.env, VLLM_API_KEY: "x" }
      })
      assert.include(said, "is a valid configuration")
    } finally {
      rmSync(folder, { recursive: true })
    }
    const { grace, preStop } = (parse(text) as { shutdown: Record<"grace" | "preStop", string> }).shutdown
    const seconds = Number.parseInt(preStop) + Number.parseInt(grace)
    assert.isAbove(one("Deployment").spec?.template.spec?.terminationGracePeriodSeconds ?? 0, seconds)
  })

  it("scale by a metric that the gateway has", () => {
    const metrics = readFileSync(new URL("../../docs/operate/observability.md", import.meta.url), "utf8")
    for (const { pods } of one("HorizontalPodAutoscaler").spec?.metrics ?? []) assert.include(metrics, pods?.metric.name ?? "no metric")
  })
})
