/**
 * Teams, and limits of keys, teams and models.
 */
import { useState } from "preact/hooks"
import { type Admin, type Limit, send, type Team } from "./AdminClient.ts"
import { ask, Field, FormDialog, ListSection, namesOf, textOf, useList, withForce } from "./Parts.tsx"

export const Teams = ({ admin }: { readonly admin: Admin }) => {
  const list = useList<Team>("/teams")
  const [isNew, setNew] = useState(false)
  const [error, setError] = useState<unknown>(undefined)
  const mayChange = admin.role === "admin"
  return (
    <>
      <ListSection
        id="teams"
        title="Teams"
        list={list}
        error={error}
        columns={["Name", "Id", "Models", "State", ...(mayChange ? ["Actions"] : [])]}
        make={mayChange ? { label: "New team", onClick: () => setNew(true) } : undefined}
      >
        {list.items.map((team) => (
          <tr key={team.id}>
            <th scope="row">{team.name}</th>
            <td>
              <code>{team.id}</code>
            </td>
            <td>{team.allModels ? "all" : team.models.join(", ")}</td>
            <td>{team.enabled ? "enabled" : "disabled"}</td>
            {mayChange ? (
              <td class="actions">
                <button
                  type="button"
                  onClick={() => void send("PATCH", `/teams/${team.id}`, { enabled: !team.enabled }).then(list.reload, setError)}
                >
                  {team.enabled ? "Disable" : "Enable"}
                </button>
                <button
                  type="button"
                  onClick={() =>
                    ask(`Archive the team ${team.name}?`) &&
                    void withForce((force) => send("DELETE", `/teams/${team.id}${force ? "?force=true" : ""}`)).then(list.reload, setError)
                  }
                >
                  Archive
                </button>
              </td>
            ) : null}
          </tr>
        ))}
      </ListSection>
      {isNew ? (
        <FormDialog
          title="New team"
          submit="Create"
          onClose={() => {
            setNew(false)
            void list.reload()
          }}
          onSubmit={async (data) => {
            const models = namesOf(data, "models")
            await send("POST", "/teams", { name: textOf(data, "name") ?? "", ...(models.length === 0 ? {} : { models }) })
          }}
        >
          <Field label="Name" name="name" required />
          <Field label="Models" name="models" hint="Separated by commas. Empty for all." />
        </FormDialog>
      ) : null}
    </>
  )
}

const kinds: ReadonlyArray<readonly [Limit["kind"], string]> = [
  ["requests_per_minute", "requests a minute"],
  ["tokens_per_minute", "tokens a minute"],
  ["concurrent_streams", "streams at once"],
  ["tokens_per_day", "tokens a day"],
  ["tokens_per_month", "tokens a month"],
  ["budget_per_day", "micro-units of money a day"],
  ["budget_per_month", "micro-units of money a month"]
]

const unitOf = new Map(kinds)

export const Limits = ({ admin }: { readonly admin: Admin }) => {
  const list = useList<Limit>("/limits")
  const [isNew, setNew] = useState(false)
  const [error, setError] = useState<unknown>(undefined)
  const mayChange = admin.role === "admin"
  return (
    <>
      <ListSection
        id="limits"
        title="Limits"
        list={list}
        error={error}
        columns={["Of", "Model", "Amount", "Beyond it", ...(mayChange ? ["Actions"] : [])]}
        make={mayChange ? { label: "New limit", onClick: () => setNew(true) } : undefined}
      >
        {list.items.map((limit) => (
          <tr key={limit.id}>
            <th scope="row">
              {limit.scope} <code>{limit.scopeId}</code>
            </th>
            <td>{limit.modelId === "" ? "all" : limit.modelId}</td>
            <td>
              {limit.amount.toLocaleString()} {unitOf.get(limit.kind)}
            </td>
            <td>{limit.mode === "enforce" ? "refused" : "reported"}</td>
            {mayChange ? (
              <td class="actions">
                <button
                  type="button"
                  onClick={() =>
                    void send("PATCH", `/limits/${limit.id}`, { mode: limit.mode === "enforce" ? "report" : "enforce" }).then(
                      list.reload,
                      setError
                    )
                  }
                >
                  {limit.mode === "enforce" ? "Only report" : "Enforce"}
                </button>
                <button
                  type="button"
                  onClick={() => ask("Remove the limit?") && void send("DELETE", `/limits/${limit.id}`).then(list.reload, setError)}
                >
                  Remove
                </button>
              </td>
            ) : null}
          </tr>
        ))}
      </ListSection>
      {isNew ? (
        <FormDialog
          title="New limit"
          submit="Create"
          onClose={() => {
            setNew(false)
            void list.reload()
          }}
          onSubmit={async (data) => {
            const modelId = textOf(data, "modelId")
            await send("POST", "/limits", {
              scope: textOf(data, "scope"),
              scopeId: textOf(data, "scopeId") ?? "",
              kind: textOf(data, "kind"),
              amount: Number(textOf(data, "amount")),
              mode: data.get("report") === "on" ? "report" : "enforce",
              ...(modelId === undefined ? {} : { modelId })
            })
          }}
        >
          <label>
            Of a
            <select name="scope">
              <option value="key">key</option>
              <option value="team">team</option>
              <option value="model">model</option>
            </select>
          </label>
          <Field label="Its id, or the model's name" name="scopeId" required />
          <Field label="At one model" name="modelId" hint="Name of the model. Empty for all." />
          <label>
            Unit
            <select name="kind">
              {kinds.map(([kind, unit]) => (
                <option key={kind} value={kind}>
                  {unit}
                </option>
              ))}
            </select>
          </label>
          <Field label="Amount" name="amount" type="number" min={0} required hint="0 allows nothing." />
          <label class="inline">
            <input type="checkbox" name="report" /> Only report, refuse nothing
          </label>
        </FormDialog>
      ) : null}
    </>
  )
}
