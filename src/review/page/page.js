// One sample after another, a key each. Everything is asked of the server this page is from, below the page's own path.
'use strict';

const by = (id) => document.getElementById(id);

// The labels of a kit, which get their first letter before others do.
const KIT = ['Kick', 'Snare', 'Hihat', 'Crash', 'Ride', 'Tom'];

let about = null;
let state = null;
let place = null;
let item = null;
let picture = null;
let busy = false;
let audio = null;
let shown = null;
let keys = new Map();
const loading = new Map();

async function ask(path, body, signal) {
  const post = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, body === undefined ? { signal } : post);
  } catch {
    throw new Error('drumfs does not answer: was it ended? What was decided before is kept');
  }
  if (answer.ok) return answer;
  let why = `${answer.status}`;
  try {
    why = (await answer.json()).error;
  } catch { /* the number is all there is to say */ }
  throw new Error(why);
}

const json = async (path, body, signal) => (await ask(path, body, signal)).json();

// Every label gets a key: its first letter, or else another of its letters, small before large; those of a kit first.
function assign(labels) {
  const keys = new Map();
  const letters = (label) => [...label.toLowerCase()].filter((c) => c >= 'a' && c <= 'z');
  const large = (some) => some.map((c) => c.toUpperCase());
  const ways = [
    (label) => letters(label).slice(0, 1),
    letters,
    (label) => large(letters(label).slice(0, 1)),
    (label) => large(letters(label)),
    () => [...'abcdefghijklmnopqrstuvwxyz'],
    () => large([...'abcdefghijklmnopqrstuvwxyz']),
  ];
  const found = new Map();
  for (const way of ways) {
    for (const label of labels) {
      if (found.has(label)) continue;
      const key = way(label).find((key) => !keys.has(key));
      if (key) {
        keys.set(key, label);
        found.set(label, key);
      }
    }
  }
  return { keys, found };
}

function say(text, isError) {
  by('said').textContent = text;
  by('said').classList.toggle('error', Boolean(isError));
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function labelButton(label, key) {
  const button = element('button');
  button.type = 'button';
  button.dataset.label = label;
  button.append(element('kbd', key ?? ' '), element('span', label));
  button.addEventListener('click', () => decide(label));
  return button;
}

// What belongs to a sample: fetched once, ahead where it comes next.
function load(at) {
  if (!loading.has(at)) {
    const stop = new AbortController();
    const found = json(`item/${at}`, undefined, stop.signal);
    // What failed is asked for again the next time.
    found.catch(() => loading.delete(at));
    const drawn = ask(`picture/${at}`, undefined, stop.signal).then((answer) => answer.arrayBuffer()).catch((error) => error);
    loading.set(at, { found, drawn, sound: sound(at), stop });
  }
  return loading.get(at);
}

// Lets go of what belongs to a sample: browsers have few connections to one place, and sounds keep theirs.
function release(loaded) {
  if (!loaded) return;
  loaded.stop.abort();
  loaded.sound.pause();
  loaded.sound.removeAttribute('src');
  loaded.sound.load();
}

// A sound that is being fetched. What the browser does not play after all is fetched decoded.
function sound(at) {
  const made = new Audio();
  made.preload = 'auto';
  made.src = `audio/${at}`;
  made.addEventListener('error', () => {
    if (made.dataset.decoded) {
      if (made === audio) say('This sound can’t be played.', true);
      return;
    }
    made.dataset.decoded = 'yes';
    made.src = `audio/${at}?decoded`;
    if (made === audio) play();
  });
  return made;
}

async function play() {
  if (!audio) return;
  const playing = audio;
  try {
    playing.currentTime = 0;
    await playing.play();
    requestAnimationFrame(follow);
  } catch (error) {
    // Browsers play nothing until a key was pressed.
    if (error.name === 'NotAllowedError' && playing === audio) say('Press Space to listen.');
  }
}

function follow() {
  const head = by('head');
  head.hidden = !audio || audio.paused || !audio.duration;
  if (head.hidden) return;
  // The picture shows what the classifier decodes: the first ten seconds.
  const seconds = Math.min(audio.duration, 10);
  head.style.left = `${Math.min(100, (100 * audio.currentTime) / seconds)}%`;
  requestAnimationFrame(follow);
}

function facts() {
  const said = [];
  if (item.duration_sec !== null) {
    said.push(item.duration_sec < 10 ? `${item.duration_sec.toFixed(2)} s` : `${item.duration_sec.toFixed(0)} s`);
  }
  if (item.sample_rate) said.push(`${item.sample_rate / 1000} kHz`);
  if (item.channels) said.push({ 1: 'mono', 2: 'stereo' }[item.channels] ?? `${item.channels} channels`);
  if (item.codec) said.push(item.codec);
  if (item.rms_dbfs !== null) said.push(`${item.rms_dbfs.toFixed(1)} dBFS`);
  const reason = item.reason.replaceAll('_', ' ');
  said.push(item.folder ? `the rules put it in ${item.folder}/ (${reason})` : `the rules hide it`);
  if (item.said) said.push(`you said ${item.said}`);
  return said.join(' · ');
}

function counts() {
  const done = state.said + state.skipped;
  by('progress').max = state.total;
  by('progress').value = done;
  const skipped = state.skipped ? `, ${state.skipped} skipped` : '';
  by('count').textContent = `${state.said.toLocaleString('en')} of ${state.total.toLocaleString('en')} labelled${skipped}`;
  document.body.dataset.said = state.said;
  document.body.dataset.skipped = state.skipped;
}

async function show(at) {
  release(shown);
  shown = null;
  audio = null;
  by('head').hidden = true;
  place = at;
  item = null;
  counts();
  const atEnd = at === null || at === undefined;
  for (const id of ['sample', 'heard', 'labels']) by(id).hidden = atEnd;
  by('end').hidden = !atEnd;
  if (atEnd) {
    by('end-text').textContent = `${state.said} labelled, ${state.skipped} skipped. Ctrl-C in the terminal ends drumfs.`;
    by('again').hidden = !state.skipped;
    document.body.dataset.place = 'end';
    return;
  }
  const loaded = load(at);
  shown = loaded;
  item = await loaded.found;
  // What was said of it may have changed since it was fetched ahead.
  loading.delete(at);
  audio = loaded.sound;
  picture = null;
  loaded.drawn.then((drawn) => {
    if (place !== at) return;
    if (drawn instanceof Error) say(`It can’t be drawn: ${drawn.message}`, true);
    else picture = drawn;
    draw();
  });
  const cut = item.path.lastIndexOf('/') + 1;
  by('folder').textContent = item.path.slice(0, cut) || ' ';
  by('name').textContent = item.path.slice(cut);
  document.title = `${item.path.slice(cut)} – drumfs review`;
  by('facts').textContent = facts();
  const top = item.top.map(([label, share], rank) => {
    const button = labelButton(label, `${(rank + 1) % 10}`);
    const bar = element('span', undefined, 'bar');
    bar.style.width = `${share * 100}%`;
    button.prepend(bar);
    button.append(element('span', `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`, 'share'));
    const line = element('li');
    line.append(button);
    return line;
  });
  by('top').replaceChildren(...top);
  for (const button of document.querySelectorAll('[data-label]')) {
    button.classList.toggle('said', button.dataset.label === item.said);
  }
  play();
  // The next is fetched while this one is heard.
  if (at + 1 < state.total) load(at + 1);
  for (const [old, ahead] of loading) {
    if (old === at + 1) continue;
    release(ahead);
    loading.delete(old);
  }
  document.body.dataset.place = at;
}

// One thing at a time: what is pressed while something is being recorded is of a sample that nobody has seen yet.
async function act(work) {
  if (busy) return;
  busy = true;
  document.body.dataset.busy = 'yes';
  try {
    await work();
  } catch (error) {
    say(error.message, true);
  }
  busy = false;
  delete document.body.dataset.busy;
}

function decide(label) {
  if (!item) return;
  const [at, name] = [place, by('name').textContent];
  search('');
  // A button that was clicked would take the next Space or Enter.
  by('main').focus();
  act(async () => {
    state = await json('say', { place: at, label });
    say(`${name}: ${label}`);
    await show(state.next);
  });
}

function skip() {
  if (!item) return;
  const [at, name] = [place, by('name').textContent];
  by('main').focus();
  act(async () => {
    state = await json('skip', { place: at });
    say(`${name}: skipped`);
    await show(state.next);
  });
}

function undo() {
  by('main').focus();
  act(async () => {
    const undone = await json('undo', {});
    state = undone.state;
    if (undone.place === null) {
      say('There is nothing to take back.');
      return;
    }
    release(loading.get(undone.place));
    loading.delete(undone.place);
    await show(undone.place);
    say(`Taken back: ${by('name').textContent}`);
  });
}

function again() {
  act(async () => {
    state = await json('again', {});
    await show(state.next);
  });
}

function matches() {
  const wanted = by('search').value.trim().toLowerCase();
  if (!wanted) return [];
  const labels = about.labels;
  const starts = labels.filter((label) => label.toLowerCase().startsWith(wanted));
  return [...starts, ...labels.filter((label) => !starts.includes(label) && label.toLowerCase().includes(wanted))];
}

function search(text) {
  if (text !== undefined) by('search').value = text;
  const found = matches();
  by('palette').classList.toggle('searching', Boolean(by('search').value.trim()));
  for (const button of by('palette').children) {
    button.classList.toggle('match', found.includes(button.dataset.label));
    button.classList.toggle('first', button.dataset.label === found[0]);
  }
}

function pressedInSearch(event) {
  if (event.key === 'Escape') {
    search('');
    by('main').focus();
  } else if (event.key === 'Enter') {
    const [first] = matches();
    if (first) decide(first);
    else say('No label is called so.', true);
  } else {
    return;
  }
  event.preventDefault();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target === by('search')) return pressedInSearch(event);
  const onButton = event.target instanceof HTMLButtonElement;
  const key = event.key;
  // Where digits are typed with Shift, the key says which is meant.
  const digit = /^[0-9]$/.test(key) ? key : !event.shiftKey && /^Digit[0-9]$/.test(event.code) ? event.code[5] : null;
  // A key that is held down says something once.
  const once = (work) => event.repeat || work();
  if (key === ' ' || key === 'Enter') {
    if (onButton) return;
    if (key === ' ') play();
    else if (place === null) once(again);
  } else if (key === 'Backspace') once(undo);
  else if (key === 'ArrowRight') once(skip);
  else if (key === '/') by('search').focus();
  else if (digit !== null && item) {
    const chosen = item.top[(Number(digit) + 9) % 10];
    if (chosen) once(() => decide(chosen[0]));
  } else if (keys.has(key)) once(() => decide(keys.get(key)));
  else return;
  event.preventDefault();
}

const STOPS = {
  light: [[255, 255, 255], [205, 222, 235], [107, 160, 199], [43, 84, 138], [24, 28, 66]],
  dark: [[31, 33, 37], [58, 42, 92], [150, 52, 104], [232, 118, 62], [253, 231, 150]],
};

function shade(stops, value) {
  const at = (value / 255) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  return stops[low].map((part, i) => part + (stops[low + 1][i] - part) * (at - low));
}

function canvas(id) {
  const made = by(id);
  const scale = window.devicePixelRatio || 1;
  made.width = Math.max(1, Math.round(made.clientWidth * scale));
  made.height = Math.max(1, Math.round(made.clientHeight * scale));
  return [made.getContext('2d'), made.width, made.height];
}

function draw() {
  const [wave, width, height] = canvas('wave');
  const [spectrum, wide, high] = canvas('spectrum');
  if (!picture) return;
  const numbers = new DataView(picture);
  const [columns, frames, rows] = [0, 2, 4].map((at) => numbers.getUint16(at, true));
  const levels = new Int8Array(picture, 6, 2 * columns);
  // The quietest samples are drawn as high as the picture: how they look matters here, how loud they are is told above.
  const largest = levels.reduce((most, level) => Math.max(most, Math.abs(level)), 1);
  wave.fillStyle = getComputedStyle(document.body).getPropertyValue('--wave');
  const step = width / columns;
  for (let column = 0; column < columns; column += 1) {
    const [low, top] = [levels[2 * column], levels[2 * column + 1]].map((l) => (l / largest) * 0.48 * height);
    wave.fillRect(column * step, height / 2 - top, Math.max(step, 1), Math.max(top - low, 1));
  }
  const dark = window.matchMedia('(prefers-color-scheme: dark)').matches;
  const table = Array.from({ length: 256 }, (_, value) => shade(dark ? STOPS.dark : STOPS.light, value));
  const image = new ImageData(frames, rows);
  const shades = new Uint8Array(picture, 6 + 2 * columns);
  for (let frame = 0; frame < frames; frame += 1) {
    for (let row = 0; row < rows; row += 1) {
      const at = 4 * ((rows - 1 - row) * frames + frame);
      image.data.set(table[shades[frame * rows + row]], at);
      image.data[at + 3] = 255;
    }
  }
  const small = document.createElement('canvas');
  [small.width, small.height] = [frames, rows];
  small.getContext('2d').putImageData(image, 0, 0);
  spectrum.imageSmoothingEnabled = true;
  spectrum.drawImage(small, 0, 0, wide, high);
}

async function start() {
  [about, state] = await Promise.all([json('about'), json('state')]);
  about.labels.sort((a, b) => (KIT.indexOf(a) + 1 || 99) - (KIT.indexOf(b) + 1 || 99));
  const assigned = assign(about.labels);
  keys = assigned.keys;
  by('palette').replaceChildren(...about.labels.map((label) => {
    const button = labelButton(label, assigned.found.get(label));
    if (KIT.includes(label)) button.classList.add('kit');
    return button;
  }));
  by('play').addEventListener('click', play);
  by('skip').addEventListener('click', skip);
  by('undo').addEventListener('click', undo);
  by('again').addEventListener('click', again);
  by('find').addEventListener('click', () => by('search').focus());
  by('search').addEventListener('input', () => search());
  document.addEventListener('keydown', pressed);
  window.addEventListener('resize', draw);
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  by('main').focus();
  await show(state.next);
}

start().catch((error) => say(error.message, true));
