/**
 * Who changed what.
 */
import type { AuditEntry } from "./AdminClient.ts"
import { ListSection, Time, useList } from "./Parts.tsx"

export const Audit = () => {
  const list = useList<AuditEntry>("/audit")
  return (
    <ListSection id="audit" title="Audit log" list={list} columns={["Time", "Who", "Action", "Details"]}>
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
    </ListSection>
  )
}
