import { MemoryStore } from "../../lib/rooms/memory.ts";
import { testStore } from "./store_conformance.ts";

testStore("memory", (events, limits) => new MemoryStore(events, limits), () => Promise.resolve());
