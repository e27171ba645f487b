// The program as a Worker.
import { play } from "./Scenes.ts"

export default {
  fetch: async (request: Request): Promise<Response> => Response.json(await play(new URL(request.url).searchParams.get("origin") ?? ""))
}
