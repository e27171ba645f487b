import { createRoot } from "react-dom/client"
import { assert, describe, inject, it, vi } from "vitest"
import Page from "../../../../examples/next-ai-sdk/app/page.tsx"
import { expected, play } from "../Scenes.ts"

describe("the program for every runtime", () => {
  it("plays in Chromium", async () => {
    assert.deepStrictEqual(await play(inject("modelServer")), expected)
  })
})

const element = (root: Element, selector: string): HTMLElement => {
  const found = root.querySelector<HTMLElement>(selector)
  if (found === null) throw new Error(`The page has no ${selector}: ${root.innerHTML}`)
  return found
}

const eventually = <A,>(check: () => A) => vi.waitFor(check, { timeout: 30_000 })

// As a user types: React reads the value in the event.
const say = (root: Element, text: string) => {
  const input = element(root, "input")
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, text)
  input.dispatchEvent(new Event("input", { bubbles: true }))
  element(root, "form").dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }))
}

describe("the page of the example", () => {
  it("shows the reasoning, the call and the answer of the route's stream, and then its error", async () => {
    const root = document.body.appendChild(document.createElement("div"))
    // The Chromium of npm ends when it draws a form's controls.
    document.head.insertAdjacentHTML("beforeend", "<style>form { display: none }</style>")
    createRoot(root).render(<Page api={inject("route")} />)
    await eventually(() => element(root, "form"))
    say(root, "What time is it?")
    const answer = await eventually(() => {
      const article = element(root, "article[aria-label=assistant]")
      assert.include(article.textContent, "It is noon.")
      return article
    })
    assert.strictEqual(element(answer, "em").textContent, "They want the time.")
    assert.strictEqual(element(answer, "code").textContent, "now")
    assert.strictEqual(element(root, "article[aria-label=user]").textContent, "What time is it?")
    await eventually(() => assert.strictEqual(element(root, "button").textContent, "Send"))
    say(root, "And now?")
    await eventually(() => element(root, "[role=alert]"))
  })
})
