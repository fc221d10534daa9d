/**
 * `cut_peer.js` as a program: `deno run -A tests/nat/cut_program.ts <URL> <ident>`. Prints a line of JSON for whatever
 * happens; sends 20 MB to the other at SIGUSR1.
 */

import { joinMesh } from "../../lib/client/mod.ts";
import { RTCPeerConnection } from "../kit/webrtc.ts";
// @ts-types="./cut_peer.d.ts"
import { talk } from "./cut_peer.js";

const [url = "", ident = ""] = Deno.args;
const peer = await talk(
  (ident) => joinMesh({ url, room: "kitchen", ident, RTCPeerConnection }),
  ident,
  (what) => console.log(JSON.stringify(what)),
);
Deno.addSignalListener("SIGUSR1", () => peer.send(20_000_000));
