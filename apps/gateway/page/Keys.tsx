/**
 * The keys of callers. A secret is shown once.
 */
import { useState } from "preact/hooks"
import { type Admin, type Key, type MadeKey, send } from "./AdminClient.ts"
import { ask, Field, FormDialog, ListSection, namesOf, textOf, Time, useList } from "./Parts.tsx"

const stateOf = (key: Key): string => {
  if (key.revokedAt !== null) return "revoked"
  if (!key.enabled) return "disabled"
  return key.expiresAt !== null && key.expiresAt <= Date.now() ? "expired" : "valid"
}

const Secret = ({ made, onClose }: { readonly made: MadeKey; readonly onClose: () => void }) => (
  <section role="status" class="secret">
    <h2>The secret of {made.key.name}</h2>
    <p>It is shown only now. Give it to its holder, and nobody else.</p>
    <code>{made.secret}</code>
    <button type="button" onClick={() => void navigator.clipboard.writeText(made.secret ?? "")}>
      Copy
    </button>
    <button type="button" onClick={onClose}>
      Done
    </button>
  </section>
)

export const Keys = ({ admin }: { readonly admin: Admin }) => {
  const [search, setSearch] = useState("")
  const list = useList<Key>("/keys", { search })
  const [dialog, setDialog] = useState<
    { readonly kind: "new"; readonly id: string } | { readonly kind: "rotate"; readonly key: Key } | undefined
  >()
  const [made, setMade] = useState<MadeKey | undefined>(undefined)
  const [error, setError] = useState<unknown>(undefined)
  const mayChange = admin.role !== "viewer"
  const run = (action: () => Promise<unknown>) => () =>
    void action().then(() => {
      setError(undefined)
      return list.reload()
    }, setError)
  const close = () => {
    setDialog(undefined)
    void list.reload()
  }
  return (
    <>
      <ListSection
        id="keys"
        title="Keys"
        notice={made === undefined ? null : <Secret made={made} onClose={() => setMade(undefined)} />}
        list={list}
        error={error}
        columns={["Name", "Secret", "Models", "State", "Expires", "Made", ...(mayChange ? ["Actions"] : [])]}
        search={{ value: search, onInput: setSearch }}
        make={mayChange ? { label: "New key", onClick: () => setDialog({ kind: "new", id: crypto.randomUUID() }) } : undefined}
      >
        {list.items.map((key) => (
          <tr key={key.id}>
            <th scope="row">
              {key.name}
              {key.owner === null ? null : <small>{key.owner}</small>}
            </th>
            <td>{key.secrets.map(({ start }) => `${start}…`).join(", ")}</td>
            <td>{key.allModels ? "all" : key.models.join(", ")}</td>
            <td>{stateOf(key)}</td>
            <td>
              <Time at={key.expiresAt} />
            </td>
            <td>
              <Time at={key.createdAt} /> by {key.createdBy}
            </td>
            {mayChange ? (
              <td class="actions">
                <button type="button" onClick={() => setDialog({ kind: "rotate", key })}>
                  Rotate
                </button>
                <button type="button" onClick={run(() => send("PATCH", `/keys/${key.id}`, { enabled: !key.enabled }))}>
                  {key.enabled ? "Disable" : "Enable"}
                </button>
                {key.revokedAt === null ? (
                  <button
                    type="button"
                    onClick={run(
                      async () =>
                        ask(`Revoke the key ${key.name}? Its streams end, and it cannot be used again.`) &&
                        send("POST", `/keys/${key.id}/revoke`)
                    )}
                  >
                    Revoke
                  </button>
                ) : (
                  <button type="button" onClick={run(() => send("DELETE", `/keys/${key.id}`))}>
                    Archive
                  </button>
                )}
              </td>
            ) : null}
          </tr>
        ))}
      </ListSection>
      {dialog?.kind === "new" ? (
        <FormDialog
          title="New key"
          submit="Create"
          onClose={close}
          onSubmit={async (data) => {
            const models = namesOf(data, "models")
            const [owner, teamId, expires] = [textOf(data, "owner"), textOf(data, "teamId"), textOf(data, "expires")]
            const body = {
              name: textOf(data, "name") ?? "",
              ...(models.length === 0 ? {} : { models }),
              ...(owner === undefined ? {} : { owner }),
              ...(teamId === undefined ? {} : { teamId }),
              ...(expires === undefined ? {} : { expiresAt: new Date(expires).getTime() })
            }
            // A repeated request makes no second key.
            setMade(await send<MadeKey>("POST", "/keys", body, { "idempotency-key": dialog.id }))
          }}
        >
          <Field label="Name" name="name" required />
          <Field label="Owner" name="owner" hint="Who holds it." />
          {admin.role === "admin" ? <Field label="Id of its team" name="teamId" /> : null}
          <Field label="Models" name="models" hint="Separated by commas. Empty for all." />
          <Field label="Expires" name="expires" type="datetime-local" />
        </FormDialog>
      ) : null}
      {dialog?.kind === "rotate" ? (
        <FormDialog
          title={`New secret for ${dialog.key.name}`}
          submit="Rotate"
          onClose={close}
          onSubmit={async (data) => {
            const grace = Number(textOf(data, "hours") ?? 0) * 3_600_000
            setMade(await send<MadeKey>("POST", `/keys/${dialog.key.id}/rotate`, { grace }))
          }}
        >
          <Field label="Hours for which the old secret works on" name="hours" type="number" value={0} min={0} />
        </FormDialog>
      ) : null}
    </>
  )
}
