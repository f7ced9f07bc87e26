// The listening sheet: answers stay in this browser until they are saved as a CSV, which `report --listened` reads.
const sheet = document.getElementById("sheet");
if (sheet) {
  const items = [...sheet.querySelectorAll("li")];
  const counter = document.getElementById("judged");
  const memory = `listening ${location.pathname}`;
  const answerOf = (item) => (item.querySelector("input:checked") || { value: "" }).value;
  const noteOf = (item) => item.querySelector(".note").value;
  const count = () => {
    const number = items.filter(answerOf).length;
    counter.textContent = `${number} of ${items.length} judged`;
  };

  // A page of a file may be refused its memory; the sheet works without it.
  const remember = () => {
    try {
      localStorage.setItem(memory, JSON.stringify(items.map((item) => [item.dataset.clip, answerOf(item), noteOf(item)])));
    } catch { /* see above */ }
  };
  const recall = () => {
    try {
      const known = new Map((JSON.parse(localStorage.getItem(memory)) || []).map(([clip, ...rest]) => [clip, rest]));
      for (const item of items) {
        const [answer, note] = known.get(item.dataset.clip) || ["", ""];
        for (const input of item.querySelectorAll("input[type=radio]")) input.checked = input.value === answer;
        item.querySelector(".note").value = note;
      }
    } catch { /* see above */ }
  };
  // As datasets.outside_text.guard_cell: no cell is a formula to a spreadsheet.
  const guarded = (text) => (/^(\s*[=+\-@＝＋－＠]|[\t\r\n])/.test(text) ? `'${text}` : text);
  const cell = (text) => `"${guarded(text).replace(/"/g, '""')}"`;
  const save = () => {
    const rows = items.map((item) => [item.dataset.clip, item.dataset.split, answerOf(item), noteOf(item)]);
    const text = [["clip_id", "split", "answer", "note"].join(","), ...rows.map((row) => row.map(cell).join(","))].join("\r\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" }));
    link.download = "listening.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  };

  recall();
  count();
  sheet.addEventListener("input", () => { count(); remember(); });
  document.getElementById("save-answers").addEventListener("click", save);
}
