// Words as flows/finding/words.py, pictures as find_like of flows/finding/embeddings.py: the same results in both.
const clips = JSON.parse(document.getElementById("clips").textContent);
const holder = document.getElementById("index");
const SIZE = Number(holder.dataset.size), NUM_RESULTS = Number(holder.dataset.results);
const K1 = 1.2, B = 0.75;
const RUN = /[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2fa1f}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]/u;
const WORD = /[\p{L}\p{N}\p{M}]/u;

const kind = (character) => (RUN.test(character) ? "run" : WORD.test(character) ? "word" : "");
const splitWords = (text, isQuery) => {
  const terms = [], characters = [...text.normalize("NFKC").toLowerCase()];
  for (let start = 0, end; start < characters.length; start = end) {
    const which = kind(characters[start]);
    for (end = start + 1; end < characters.length && kind(characters[end]) === which; end += 1);
    const run = characters.slice(start, end);
    if (which === "word") terms.push(run.join(""));
    if (which !== "run") continue;
    if (run.length === 1 || !isQuery) terms.push(...run);
    for (let i = 1; i < run.length; i += 1) terms.push(run[i - 1] + run[i]);
  }
  return terms;
};

const postings = new Map();
const lengths = clips.map((clip, number) => {
  const terms = splitWords([clip.title, clip.words].filter(Boolean).join(" "), false);
  for (const term of terms) {
    if (!postings.has(term)) postings.set(term, new Map());
    const own = postings.get(term);
    own.set(number, (own.get(number) || 0) + 1);
  }
  return terms.length;
});
const mean = Math.max(lengths.reduce((sum, length) => sum + length, 0) / Math.max(lengths.length, 1), 1);
const scoreWords = (query) => {
  const scores = new Float64Array(clips.length);
  for (const term of new Set(splitWords(query, true))) {
    const found = postings.get(term) || new Map();
    const rarity = Math.log(1 + (clips.length - found.size + 0.5) / (found.size + 0.5));
    for (const [number, times] of found) {
      scores[number] += (rarity * times * (K1 + 1)) / (times + K1 * (1 - B + (B * lengths[number]) / mean));
    }
  }
  return scores;
};

// Python's base85, with "," for "<".
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
const readBytes = (text) => {
  const values = new Uint8Array(128);
  [...DIGITS].forEach((digit, value) => { values[digit.charCodeAt(0)] = value; });
  const bytes = new DataView(new ArrayBuffer((text.length / 5) * 4));
  for (let i = 0; i < text.length / 5; i += 1) {
    let number = 0;
    for (let j = 0; j < 5; j += 1) number = number * 85 + values[text.charCodeAt(5 * i + j)];
    bytes.setUint32(4 * i, number);
  }
  return bytes;
};
const index = SIZE ? new Int8Array(readBytes(holder.textContent).buffer, 0, clips.length * SIZE) : null;
const scales = SIZE ? readBytes(document.getElementById("scales").textContent) : null;
const product = (one, other) => {
  let sum = 0;
  for (let i = 0, a = one * SIZE, b = other * SIZE; i < SIZE; i += 1) sum += index[a + i] * index[b + i];
  return sum;
};
const norms = index ? clips.map((_, number) => Math.sqrt(product(number, number))) : [];
const scoreLike = (own) =>
  clips.map((_, number) => (number === own ? -Infinity : product(own, number) / (norms[number] * norms[own])));

const best = (scores, least) =>
  [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, NUM_RESULTS).filter((i) => scores[i] > least);

const query = document.getElementById("query");
const list = document.getElementById("found"), told = document.getElementById("told");
const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const clock = (ms) => {
  const s = Math.floor(ms / 1000), two = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
};
// A text with what was typed marked in it, as far as it stands there letter by letter.
const marked = (holder, text) => {
  const typed = query.value.trim().split(/\s+/u).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pieces = typed.length ? text.split(new RegExp(`(${typed.join("|")})`, "giu")) : [text];
  holder.append(...pieces.map((piece, number) => (number % 2 ? element("mark", piece) : piece)));
  return holder;
};
const show = (numbers, message) => {
  told.textContent = message;
  list.replaceChildren(...numbers.map((number) => {
    const clip = clips[number], item = element("li", "", { "data-clip": clip.clip_id });
    if (clip.title) item.append(marked(element("b", "", { dir: "auto" }), clip.title));
    if (clip.words) item.append(marked(element("span", "", { class: "words", dir: "auto" }), clip.words));
    const about = element("div", "", { class: "about" });
    const span = `${clock(clip.start_ms)} to ${clock(clip.end_ms)}`;
    const link = clip.link ? { href: clip.link, rel: "noopener noreferrer", target: "_blank" } : {};
    about.append(element(clip.link ? "a" : "span", span, link), element("code", clip.clip_id));
    if (index) {
      const more = element("button", "more like this", { type: "button", "aria-label": `more like ${clip.clip_id}` });
      more.addEventListener("click", () => { show(best(scoreLike(number), -2), `Clips that look like ${clip.clip_id}`); told.focus(); });
      about.append(more);
    }
    item.append(about);
    return item;
  }));
};
const answer = () => {
  if (!query.value.trim()) {
    const ways = [...(query.closest("[hidden]") ? [] : ["type what is said"]), ...(index ? ["look for more like one"] : [])];
    show([...clips.keys()].slice(0, NUM_RESULTS), `The first clips; ${ways.join(", or ")}.`);
    return;
  }
  const found = best(scoreWords(query.value), 0);
  show(found, found.length ? `The ${found.length} best matches` : "No clip has these words.");
};
query.addEventListener("input", answer);
document.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); answer(); });
answer();

// What is spoken, through AVLnet's audio branch: frames as features/audio.py cuts them, the rest in the network's graph.
const RATE = 16000, FFT = 400, HOP = 160, MOST_FRAMES = 5120, REACH = 420;
const cutFrames = (samples) => {
  const last = samples.length - 1, numFrames = 1 + Math.floor(samples.length / HOP);
  const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
  const frames = new Float32Array(numFrames * FFT);
  for (let t = 0; t < numFrames; t += 1) {
    for (let i = 0; i < FFT; i += 1) {
      const period = Math.max(1, 2 * last);
      let at = (((t * HOP - FFT / 2 + i) % period) + period) % period;
      at = Math.min(at, 2 * last - at);
      frames[t * FFT + i] = samples[at] - mean - (at > 0 ? 0.97 * (samples[at - 1] - mean) : 0);
    }
  }
  return frames;
};
const PART = 1 << 22; // characters decoded at once: a network of the paper's size is 250 MB of them
const decode64 = (text) => {
  const bytes = new Uint8Array((text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0));
  for (let start = 0, at = 0; start < text.length; start += PART) {
    const binary = atob(text.slice(start, start + PART));
    for (let i = 0; i < binary.length; i += 1, at += 1) bytes[at] = binary.charCodeAt(i);
  }
  return bytes;
};
let session = null;
const openNetwork = async () => {
  if (session) return session;
  told.textContent = "Loading the network";
  await new Promise((done, failed) => {
    const script = element("script", "", { src: "speech.js" });
    script.onload = done;
    script.onerror = () => failed(new Error("speech.js is not beside this page"));
    document.head.append(script);
  });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = decode64(globalThis.speech.machine).buffer;
  session = await ort.InferenceSession.create(decode64(globalThis.speech.network));
  globalThis.speech = null;
  return session;
};
const embedSpeech = async (samples) => {
  const network = await openNetwork();
  const heard = samples.subarray(0, (MOST_FRAMES * HOP) - 1), frames = cutFrames(heard), numFrames = frames.length / FFT;
  const padded = Math.min(MOST_FRAMES, Math.ceil((numFrames + REACH) / 16) * 16), numSteps = padded / 16;
  const numValid = Math.min(Math.max(Math.floor(numFrames / 16), 1), numSteps);
  const weights = Float32Array.from({ length: numSteps }, (_, step) => (step < numValid ? 1 / numValid : 0));
  const made = await network.run({
    frames: new ort.Tensor("float32", frames, [numFrames, FFT]),
    padding: new ort.Tensor("float32", new Float32Array(40 * (padded - numFrames)), [1, 40, padded - numFrames]),
    weights: new ort.Tensor("float32", weights, [numSteps]),
  });
  return made.embedding.data;
};
const scoreSpeech = (embedding) =>
  clips.map((_, number) => {
    let sum = 0;
    for (let i = 0, a = number * SIZE; i < SIZE; i += 1) sum += index[a + i] * embedding[i];
    return sum * scales.getFloat32(4 * number, true);
  });
const answerSpeech = async (file) => {
  try {
    const decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    const samples = new Float32Array(decoded.length);
    for (let channel = 0; channel < decoded.numberOfChannels; channel += 1) {
      decoded.getChannelData(channel).forEach((value, at) => { samples[at] += value / decoded.numberOfChannels; });
    }
    show(best(scoreSpeech(await embedSpeech(samples)), -Infinity), "What the model finds for what was spoken");
  } catch (error) {
    told.textContent = `This cannot be heard: ${error.message}`;
  }
};
const speak = document.getElementById("speak");
if (speak) {
  document.getElementById("recording").addEventListener("change", ({ target }) => target.files.length && answerSpeech(target.files[0]));
  let recorder = null;
  speak.addEventListener("click", async () => {
    if (recorder) { recorder.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true }), pieces = [];
      recorder = new MediaRecorder(stream);
      recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
      recorder.addEventListener("stop", () => {
        recorder = null;
        speak.textContent = "speak";
        stream.getTracks().forEach((track) => track.stop());
        answerSpeech(new Blob(pieces));
      });
      recorder.start();
      speak.textContent = "stop and search";
    } catch (error) {
      told.textContent = `No microphone: ${error.message}`;
    }
  });
}
