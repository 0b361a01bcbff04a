// One frame through the network as WebAssembly: node run.mjs MODULE.wasm

import { readFile } from "node:fs/promises";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]));
const network = instance.exports;
const bytes = (address, count) => new Uint8Array(network.memory.buffer, address, count);

/** FNV-1a, 64 bits. */
function hash(...parts) {
  let value = 0xcbf29ce484222325n;
  for (const part of parts)
    for (const byte of part) value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  return value.toString(16).padStart(16, "0");
}

bytes(network.image(), network.image_bytes()).set(bytes(network.golden_image(), network.image_bytes()));
const found = network.run();
const perHand = 4 * network.keypoints_per_hand();
const keypoints = new Float32Array(network.memory.buffer, network.keypoints(), 2 * perHand);
for (const [hand, side] of ["left", "right"].entries())
  for (let i = 0; (found >> hand) & 1 && i < perHand; i += 4)
    console.log(side, ...Array.from(keypoints.subarray(hand * perHand + i, hand * perHand + i + 4), (x) => x.toFixed(2)));
console.log("found", found);
console.log("keypoints_hash", hash(bytes(network.keypoints(), 8 * perHand)));

network.maps();
const visibilityBytes = 2 * 4 * (1 + network.keypoints_per_hand());
console.log(
  "maps_hash",
  hash(bytes(network.heatmaps(), network.heatmaps_bytes()), bytes(network.visibility(), visibilityBytes)),
);
