// app/page.tsx: a chat, with the reasoning and the tool calls of the model.
"use client"

import { useChat } from "@ai-sdk/react"
import { DefaultChatTransport } from "ai"
import { useState } from "react"

export default function Page({ api = "/api/chat" }: { api?: string }) {
  const { error, messages, sendMessage, status, stop } = useChat({ transport: new DefaultChatTransport({ api }) })
  const [input, setInput] = useState("")
  const isBusy = status === "submitted" || status === "streaming"
  return (
    <main>
      {messages.map(({ id, parts, role }) => (
        <article key={id} aria-label={role}>
          {parts.map((part, index) => {
            if (part.type === "text") return <p key={index}>{part.text}</p>
            if (part.type === "reasoning") return <em key={index}>{part.text}</em>
            return part.type.startsWith("tool-") ? <code key={index}>{part.type.slice("tool-".length)}</code> : null
          })}
        </article>
      ))}
      {error === undefined ? null : <p role="alert">{error.message}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void sendMessage({ text: input })
          setInput("")
        }}
      >
        <input aria-label="Message" value={input} onChange={(event) => setInput(event.target.value)} />
        <button type={isBusy ? "button" : "submit"} onClick={isBusy ? () => void stop() : undefined}>
          {isBusy ? "Stop" : "Send"}
        </button>
      </form>
    </main>
  )
}
