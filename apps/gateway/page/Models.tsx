/**
 * The models: as this gateway serves them now, and as they are administered.
 */
import { useEffect, useState } from "preact/hooks"
import { type Admin, type Model, send, type Status } from "./AdminClient.ts"
import { ask, Field, FormDialog, ListSection, namesOf, Problem, Table, textOf, useList, withForce } from "./Parts.tsx"

const interval = 2000

const useStatus = () => {
  const [status, setStatus] = useState<Status | undefined>(undefined)
  const [error, setError] = useState<unknown>(undefined)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let isGone = false
    const poll = async () => {
      try {
        setStatus(await send<Status>("GET", "/status"))
        setError(undefined)
      } catch (failure) {
        setError(failure)
      }
      if (!isGone) timer = setTimeout(() => void poll(), interval)
    }
    void poll()
    return () => {
      isGone = true
      clearTimeout(timer)
    }
  }, [])
  return { status, error }
}

const Live = () => {
  const { error, status } = useStatus()
  return (
    <section aria-labelledby="live">
      <h2 id="live">Served by this gateway</h2>
      <Problem error={error} />
      {status === undefined ? null : (
        <>
          <p>
            {status.activeRequests} requests in flight, {status.keys} valid secrets, revision {status.revision}
            {status.degraded ? " — the database does not answer; an earlier state is served" : ""}
          </p>
          <Table columns={["Model", "Comes from", "Waiting", "Replicas"]}>
            {status.models.map((model) => (
              <tr key={model.id}>
                <th scope="row">{[model.name, ...model.aliases].join(", ")}</th>
                <td>{model.owner === "file" ? "configuration file" : "administration"}</td>
                <td class="number">{model.waiting}</td>
                <td>
                  <ul>
                    {model.replicas.map(({ inFlight, isHealthy, origin }) => (
                      <li key={origin} class={isHealthy ? "good" : "bad"}>
                        {origin}: {isHealthy ? "healthy" : "not healthy"}, {inFlight} in flight
                      </li>
                    ))}
                  </ul>
                </td>
              </tr>
            ))}
          </Table>
        </>
      )}
    </section>
  )
}

const Replicas = ({ mayChange, model, reload }: { readonly model: Model; readonly mayChange: boolean; readonly reload: () => void }) => {
  const [found, setFound] = useState<Record<string, string>>({})
  const [error, setError] = useState<unknown>(undefined)
  const run = (action: () => Promise<unknown>) => () =>
    action().then(() => {
      setError(undefined)
      reload()
    }, setError)
  return (
    <>
      <ul>
        {model.replicas.map(({ baseUrl, id, state }) => (
          <li key={id}>
            {baseUrl} <span class="tag">{state}</span>{" "}
            {mayChange ? (
              <>
                <button
                  type="button"
                  onClick={() =>
                    send<{ detail: string; milliseconds: number }>("POST", `/replicas/${id}/test`).then(
                      ({ detail, milliseconds }) => setFound((before) => ({ ...before, [id]: `${detail} (${milliseconds} ms)` })),
                      setError
                    )
                  }
                >
                  Test
                </button>
                <button type="button" onClick={run(() => send("PATCH", `/replicas/${id}`, { state: state === "on" ? "draining" : "on" }))}>
                  {state === "on" ? "Drain" : "Use again"}
                </button>
                <button type="button" onClick={run(async () => ask(`Remove the replica ${baseUrl}?`) && send("DELETE", `/replicas/${id}`))}>
                  Remove
                </button>
              </>
            ) : null}
            <output>{found[id]}</output>
          </li>
        ))}
      </ul>
      <Problem error={error} />
    </>
  )
}

export const Models = ({ admin }: { readonly admin: Admin }) => {
  const [search, setSearch] = useState("")
  const list = useList<Model>("/models", { search })
  const [dialog, setDialog] = useState<
    { readonly kind: "new" } | { readonly kind: "replica" | "edit"; readonly model: Model } | undefined
  >()
  const [error, setError] = useState<unknown>(undefined)
  const mayChange = admin.role === "admin"
  const close = () => {
    setDialog(undefined)
    void list.reload()
  }
  return (
    <>
      <Live />
      <ListSection
        id="models"
        title="Administered models"
        list={list}
        error={error}
        columns={["Name", "Also", "State", "Replicas", ...(mayChange ? ["Actions"] : [])]}
        search={{ value: search, onInput: setSearch }}
        make={mayChange ? { label: "New model", onClick: () => setDialog({ kind: "new" }) } : undefined}
      >
        {list.items.map((model) => (
          <tr key={model.id}>
            <th scope="row">{model.name}</th>
            <td>{[...model.aliases, ...model.formerNames.map((name) => `${name} (former)`)].join(", ")}</td>
            <td>{model.enabled ? "enabled" : "disabled"}</td>
            <td>
              <Replicas model={model} mayChange={mayChange} reload={list.reload} />
            </td>
            {mayChange ? (
              <td class="actions">
                <button type="button" onClick={() => setDialog({ kind: "replica", model })}>
                  Add replica
                </button>
                <button type="button" onClick={() => setDialog({ kind: "edit", model })}>
                  Edit
                </button>
                <button
                  type="button"
                  onClick={() =>
                    ask(`Archive the model ${model.name}? Callers cannot use it any more.`) &&
                    void withForce((force) => send("DELETE", `/models/${model.id}${force ? "?force=true" : ""}`)).then(
                      list.reload,
                      setError
                    )
                  }
                >
                  Archive
                </button>
              </td>
            ) : null}
          </tr>
        ))}
      </ListSection>
      {dialog?.kind === "new" ? (
        <FormDialog
          title="New model"
          submit="Create"
          onClose={close}
          onSubmit={async (data) => {
            const baseUrl = textOf(data, "baseUrl")
            const variable = textOf(data, "variable")
            const credential = variable === undefined ? null : { env: variable }
            const replicas = baseUrl === undefined ? [] : [{ baseUrl, credential }]
            await send("POST", "/models", { name: textOf(data, "name") ?? "", aliases: namesOf(data, "aliases"), replicas })
          }}
        >
          <Field label="Name" name="name" required />
          <Field label="Aliases" name="aliases" hint="Separated by commas." />
          <Field label="Base URL of a replica" name="baseUrl" hint="Up to and with /v1, for example http://10.0.0.1:8000/v1" />
          <Field label="Environment variable with its key" name="variable" hint="The gateway reads it. The key itself is not stored." />
        </FormDialog>
      ) : null}
      {dialog?.kind === "edit" ? (
        <FormDialog
          title={`Edit ${dialog.model.name}`}
          submit="Save"
          onClose={close}
          onSubmit={async (data) => {
            const settings: unknown = JSON.parse(textOf(data, "settings") ?? "{}")
            const removed = Object.fromEntries(Object.keys(dialog.model.settings).map((name) => [name, null]))
            await send(
              "PATCH",
              `/models/${dialog.model.id}`,
              {
                name: textOf(data, "name") ?? "",
                aliases: namesOf(data, "aliases"),
                enabled: data.get("enabled") === "on",
                settings: { ...removed, ...(settings as object) }
              },
              { "if-match": `"${dialog.model.version}"` }
            )
          }}
        >
          <Field label="Name" name="name" value={dialog.model.name} required />
          <Field label="Aliases" name="aliases" value={dialog.model.aliases.join(", ")} hint="Separated by commas." />
          <label class="inline">
            <input type="checkbox" name="enabled" defaultChecked={dialog.model.enabled} /> Enabled
          </label>
          <label>
            Settings
            <textarea name="settings" rows={8} spellcheck={false}>
              {JSON.stringify(dialog.model.settings, undefined, 2)}
            </textarea>
            <small>As in the configuration file, in JSON.</small>
          </label>
        </FormDialog>
      ) : null}
      {dialog?.kind === "replica" ? (
        <FormDialog
          title={`New replica of ${dialog.model.name}`}
          submit="Add"
          onClose={close}
          onSubmit={async (data) => {
            const variable = textOf(data, "variable")
            const remoteName = textOf(data, "remoteName")
            const maxConcurrent = textOf(data, "maxConcurrent")
            await send("POST", `/models/${dialog.model.id}/replicas`, {
              baseUrl: textOf(data, "baseUrl") ?? "",
              weight: Number(textOf(data, "weight") ?? 1),
              ...(remoteName === undefined ? {} : { remoteName }),
              ...(maxConcurrent === undefined ? {} : { maxConcurrent: Number(maxConcurrent) }),
              ...(variable === undefined ? {} : { credential: { env: variable } })
            })
          }}
        >
          <Field label="Base URL" name="baseUrl" hint="Up to and with /v1" required />
          <Field label="Name of the model there" name="remoteName" hint={`Defaults to ${dialog.model.name}`} />
          <Field label="Weight" name="weight" type="number" value={1} min={1} />
          <Field
            label="Maximum of requests in flight"
            name="maxConcurrent"
            type="number"
            min={1}
            hint="Further ones wait. Empty for no limit."
          />
          <Field label="Environment variable with its key" name="variable" />
        </FormDialog>
      ) : null}
    </>
  )
}
