// The language asked for by its name, where the browser knows it; the page itself has its code.
for (const place of document.querySelectorAll("[data-language]")) {
  try {
    const code = place.dataset.language;
    const name = new Intl.DisplayNames(["en"], { type: "language" }).of(code);
    if (name !== code) place.textContent = `${name} (${code})`;
  } catch { /* it stays as it is */ }
}
