// SPDX-License-Identifier: LGPL-2.1-or-later

// What a function is called in a worker: how it is described to the host, which makes it again.

/* exported Names, describe, isForeign, labelOf */

const {GLib} = imports.gi;

const MODULE = /^(file|resource):\/\/\/[^#]*$/;
const MOST_LABEL = 200;

// What the host calls its functions for callers in JavaScript. The settings of the pool say what the hooks are.
var Names = {PREFIX: 'javascript:', INIT: 'javascript:worker-init', EXIT: 'javascript:worker-exit'};

const descriptions = new WeakMap();

function parses(source) {
    try {
        return typeof Function(`"use strict"; return ${source}`) === 'function';
    } catch (error) {
        return false;
    }
}

// As an expression. Methods are written without 'function'.
function describeSource(fn) {
    const source = Function.prototype.toString.call(fn);
    const name = fn.name || 'anonymous';

    if (/\{\s*\[native code\]\s*\}\s*$/.test(source))
        throw new TypeError(`the function “${name}” has no source that could be sent to a worker: it is bound, or ` +
            'built in; write a function that calls it');
    if (/^class\b/.test(source))
        throw new TypeError(`“${name}” is a class, which cannot be called; write a function that makes one`);
    if (parses(`(${source})`))
        return `source:${name}:(${source})`;
    for (const method of [source, `async ${source}`]) {
        if (parses(`Object.values({${method}})[0]`))
            return `source:${name}:Object.values({${method}})[0]`;
    }
    throw new TypeError(`the source of the function “${name}” cannot be sent to a worker: it makes sense only where ` +
        'it stands; write it as a function of its own');
}

function describeExport(name) {
    const [url, exported] = name.split('#');

    if (!MODULE.test(url))
        throw new TypeError(`“${name}” names no module that a worker can import: write the whole URL, which begins ` +
            'with file:/// or resource:///');
    if (!exported)
        throw new TypeError(`“${name}” names no function: write ${url}#NAME, with the name of an export`);
    return `module:${name}`;
}

// Whether it is the name of a function that is no JavaScript: of a module in C, or one that another host knows.
function isForeign(fn) {
    return typeof fn === 'string' && fn !== '' && !/^[\w+.-]+:\/\//.test(fn) && !fn.includes('#');
}

function describe(fn) {
    if (typeof fn === 'string' && fn !== '')
        return describeExport(fn);
    if (typeof fn !== 'function')
        throw new TypeError(`the function is ${fn === '' ? 'an empty string' : String(fn)}: give a function, the URL of ` +
            'an export (file:///…/tasks.js#name), or the name of a function that the host knows');

    let description = descriptions.get(fn);
    if (description === undefined) {
        description = describeSource(fn);
        descriptions.set(fn, description);
    }
    return description;
}

const labels = new Map();
const MOST_LABELS = 1000;

// What messages and insights call it.
function labelOf(description) {
    let label = labels.get(description);

    if (label === undefined) {
        if (labels.size >= MOST_LABELS)
            labels.clear();
        label = makeLabel(description);
        labels.set(description, label);
    }
    return label;
}

function makeLabel(description) {
    const name = description.startsWith('module:') ? description.slice(7) : description.split(':', 2)[1];
    const label = `${Names.PREFIX}${name.replace(/[\x00-\x1f\x7f-\x9f]/g, ' ')}`;

    return GLib.utf8_substring(label, 0, Math.min(label.length, MOST_LABEL));
}
