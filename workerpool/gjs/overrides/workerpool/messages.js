// SPDX-License-Identifier: LGPL-2.1-or-later

// What pool and host say to each other: requests to call a function for some items, and what became of each.

/* exported Way, readEvent, readReply, readRequest, writeEvent, writeReply, writeRequest */

const {Uncloneable} = imports.overrides.workerpool.culprit;
const {fromVariant, toVariant} = imports.overrides.workerpool.values;

// How an item becomes arguments: as the only one, or as all of them.
var Way = {ITEM: 0, ARGUMENTS: 1};

// 'nameOf' tells what error messages call an item.
function writeRequest(description, way, items, nameOf) {
    try {
        return toVariant([description, way, items], 'request');
    } catch (error) {
        if (!(error instanceof Uncloneable))
            throw error;
        items.forEach((item, i) => toVariant(item, nameOf(i)));
        throw error;
    }
}

function readRequest(variant) {
    return fromVariant(variant);
}

// An error that holds what cannot travel arrives without it.
function describeError(error) {
    try {
        toVariant(error, 'error');
        return error;
    } catch (flaw) {
        if (!(error instanceof Error))
            return flaw;
        const plain = new Error(error.message);
        for (const key of ['name', 'stack'])
            Object.defineProperty(plain, key, {value: error[key], enumerable: false});
        return plain;
    }
}

// 'results' has the value of each item, and 'failures' pairs of a position and what was thrown there.
function writeReply(results, failures, elapsed) {
    try {
        return toVariant([results, failures, elapsed], 'reply');
    } catch (error) {
        failures = failures.map(([i, failure]) => [i, describeError(failure)]);
        results.forEach((result, i) => {
            try {
                toVariant(result, 'the result');
            } catch (flaw) {
                results[i] = undefined;
                failures.push([i, describeError(flaw)]);
            }
        });
        return toVariant([results, failures, elapsed], 'reply');
    }
}

function readReply(variant) {
    return fromVariant(variant);
}

// From the task at this position of its request.
function writeEvent(position, value) {
    return toVariant([position, value], 'event');
}

function readEvent(variant) {
    return fromVariant(variant);
}
