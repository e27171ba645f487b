/**
 * The page of administrators.
 */
import { render } from "preact"
import { useEffect, useState } from "preact/hooks"
import { type Admin, Refused, send } from "./AdminClient.ts"
import { Audit } from "./Audit.tsx"
import { Keys } from "./Keys.tsx"
import { Models } from "./Models.tsx"
import { Problem } from "./Parts.tsx"
import { Limits, Teams } from "./Teams.tsx"
import "./style.css"

const sections = { models: Models, keys: Keys, teams: Teams, limits: Limits, audit: Audit }
type Name = keyof typeof sections

const mayRead = (name: Name, { role }: Admin): boolean => role !== "team_admin" || (name !== "models" && name !== "audit")

const SignIn = ({ onSignedIn }: { readonly onSignedIn: (admin: Admin) => void }) => {
  const [error, setError] = useState<unknown>(undefined)
  return (
    <main class="sign-in">
      <h1>Paradigm gateway</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const secret = new FormData(event.currentTarget).get("secret")
          send<Admin>("POST", "/session", { secret }).then(onSignedIn, (failure: unknown) =>
            setError(
              failure instanceof Refused && failure.status === 401 ? new Error("This is not the secret of an administrator.") : failure
            )
          )
        }}
      >
        <label>
          Secret of an administrator
          <input name="secret" type="password" autocomplete="current-password" required />
        </label>
        <Problem error={error} />
        <button type="submit" class="main">
          Sign in
        </button>
      </form>
    </main>
  )
}

const nameOf = (hash: string): Name => {
  const name = hash.slice(1)
  return name in sections ? (name as Name) : "models"
}

const Page = () => {
  const [admin, setAdmin] = useState<Admin | "unknown" | undefined>("unknown")
  const [hash, setHash] = useState(window.location.hash)
  useEffect(() => {
    send<Admin>("GET", "/session").then(setAdmin, () => setAdmin(undefined))
    const changed = () => setHash(window.location.hash)
    window.addEventListener("hashchange", changed)
    return () => window.removeEventListener("hashchange", changed)
  }, [])
  if (admin === "unknown") return null
  if (admin === undefined) return <SignIn onSignedIn={setAdmin} />
  const allowed = (Object.keys(sections) as ReadonlyArray<Name>).filter((name) => mayRead(name, admin))
  const wanted = nameOf(hash)
  const name = allowed.includes(wanted) ? wanted : (allowed[0] ?? "keys")
  const Section = sections[name]
  return (
    <>
      <header>
        <h1>Paradigm gateway</h1>
        <nav aria-label="Sections">
          {allowed.map((one) => (
            <a key={one} href={`#${one}`} aria-current={one === name ? "page" : undefined}>
              {one}
            </a>
          ))}
        </nav>
        <span>
          {admin.name} ({admin.role})
        </span>
        <button type="button" onClick={() => void send("DELETE", "/session").finally(() => setAdmin(undefined))}>
          Sign out
        </button>
      </header>
      <main>
        <Section admin={admin} />
      </main>
    </>
  )
}

render(<Page />, document.body)
