/**
 * Serves the page of administrators. It loads nothing from elsewhere, runs nothing that is not its own, and cannot be framed.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { readdirSync, readFileSync } from "node:fs"
import { extname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8"
}

const headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin"
}

// Beside the bundle, or where Vite builds the page.
const folders = ["page", "../../dist/page"]

const filesIn = (folder: string): ReadonlyMap<string, Uint8Array> => {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    entries.map(({ name, parentPath }) => {
      const file = join(parentPath, name)
      return [relative(folder, file).replaceAll("\\", "/"), readFileSync(file)]
    })
  )
}

const find = (): ReadonlyMap<string, Uint8Array> | undefined => {
  for (const folder of folders) {
    try {
      return filesIn(fileURLToPath(new URL(folder, import.meta.url)))
    } catch {
      // It is in the other folder, or was not built.
    }
  }
  return undefined
}

const missing = HttpServerResponse.text("The page was not built. `pnpm build` builds it; the API is at /admin/v1.", { status: 404 })

/** The routes of the page: `/admin` and its files. */
export const routes = (): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const files = find()
  const respond = (name: string) => {
    const body = files?.get(name)
    if (body === undefined) return files === undefined ? missing : HttpServerResponse.empty({ status: 404 })
    const isNamedByContent = name.startsWith("assets/")
    return HttpServerResponse.uint8Array(body, {
      contentType: contentTypes[extname(name)] ?? "application/octet-stream",
      headers: { ...headers, "cache-control": isNamedByContent ? "public, max-age=31536000, immutable" : "no-cache" }
    })
  }
  return Layer.mergeAll(
    HttpRouter.add("GET", "/admin", () => Effect.sync(() => respond("index.html"))),
    HttpRouter.add("GET", "/admin/assets/:file", ({ url }) =>
      Effect.sync(() => respond(url.replace(/^.*\/admin\//, "").replace(/\?.*$/, "")))
    )
  )
}
