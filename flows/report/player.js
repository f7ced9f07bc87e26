"use strict";
// Every clip is a link that works without this script; with it, clips play in one player, by click or by key.
const player = document.getElementById("player");
if (player) {
  const media = player.querySelector("video");
  const caption = player.querySelector("p");
  const clips = [...document.querySelectorAll("a.clip")];
  let current = -1;
  let end = Infinity;

  const start = (href, text) => {
    player.hidden = false;
    caption.textContent = text;
    end = Number(href.split(",").pop());
    media.src = href;
    media.play().catch(() => { caption.textContent = text + " (cannot be played here)"; });
  };
  const play = (index) => {
    if (index < 0 || index >= clips.length) return;
    if (current >= 0) clips[current].classList.remove("playing");
    current = index;
    const clip = clips[index];
    clip.classList.add("playing");
    const card = clip.closest("article");
    start(clip.getAttribute("href"), `${clip.title}: ${card.querySelector("h3").textContent}`);
    card.scrollIntoView({ block: "nearest" });
  };
  const cardOf = (index) => clips[index].closest("article");
  const moveVideo = (step) => {
    if (current < 0) return play(0);
    let index = current;
    while (clips[index] && cardOf(index) === cardOf(current)) index += step;
    if (!clips[index]) return undefined;
    return play(clips.findIndex((clip) => clip.closest("article") === cardOf(index)));
  };
  const actions = {
    "previous video": () => moveVideo(-1),
    "previous clip": () => play(current - 1),
    "next clip": () => play(current + 1),
    "next video": () => moveVideo(1),
    pause: () => (media.paused ? media.play() : media.pause()),
  };
  const keys = { k: "previous video", p: "previous clip", n: "next clip", j: "next video", " ": "pause" };

  // Not every browser stops at the end of a media fragment.
  media.addEventListener("timeupdate", () => {
    if (media.currentTime >= end) {
      end = Infinity;
      media.pause();
    }
  });
  document.addEventListener("click", (event) => {
    const clip = event.target.closest("a.clip");
    if (clip) {
      event.preventDefault();
      play(clips.indexOf(clip));
    }
    const sample = event.target.closest("a.listen");
    if (sample) {
      event.preventDefault();
      start(sample.getAttribute("href"), sample.title);
    }
    const strip = event.target.closest("svg[data-media]");
    if (strip) {
      const box = strip.getBoundingClientRect();
      const from = Number(strip.dataset.start);
      const length = Number(strip.dataset.end) - from;
      const at = from + (length * (event.clientX - box.left)) / box.width;
      const title = strip.closest("article").querySelector("h3").textContent;
      start(`${strip.dataset.media}#t=${at.toFixed(1)},${strip.dataset.end}`, `from ${at.toFixed(0)} s: ${title}`);
    }
    const button = event.target.closest("#player button");
    if (button) actions[button.dataset.action]();
  });
  document.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    const isTyping = event.target.closest("input, textarea, select, video, button, summary");
    if (!action || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (action === "pause" && player.hidden) return;
    event.preventDefault();
    actions[action]();
  });
}
