/**
 * The page of the API documentation. It is 3 MB, because it needs nothing from the internet, so that this module is loaded when the page is opened.
 */
import { ParadigmApi } from "@paradigm-effect/core/ParadigmApi"
import * as HttpApiScalar from "effect/http-api/HttpApiScalar"
import * as HttpRouter from "effect/http/HttpRouter"

const { handler } = HttpRouter.toWebHandler(HttpApiScalar.layer(ParadigmApi, { path: "/" }), { disableLogger: true })

/** The HTML of the page. */
export const html: Promise<string> = handler(new Request("http://localhost/")).then((response) => response.text())
