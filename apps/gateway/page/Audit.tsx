/**
 * Who changed what.
 */
import type { AuditEntry } from "./AdminClient.ts"
import { More, Problem, Time, useList } from "./Parts.tsx"

export const Audit = () => {
  const list = useList<AuditEntry>("/audit")
  return (
    <section aria-labelledby="audit">
      <h2 id="audit">Audit log</h2>
      <Problem error={list.error} />
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Who</th>
            <th scope="col">Action</th>
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          {list.items.map((entry) => (
            <tr key={entry.seq}>
              <td>
                <Time at={entry.at} />
              </td>
              <td>
                {entry.actor}
                <small>
                  {entry.via}, {entry.address}
                </small>
              </td>
              <td>
                {entry.action} {entry.entity} <code>{entry.entityId}</code>
              </td>
              <td>
                <details>
                  <summary>Before and after</summary>
                  <pre>{entry.before}</pre>
                  <pre>{entry.after}</pre>
                </details>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <More list={list} />
    </section>
  )
}
