// SPDX-License-Identifier: LGPL-2.1-or-later

// What a function finds as 'this' in a worker.

/* exported Task */

const Messages = imports.overrides.workerpool.messages;
const {fromVariant} = imports.overrides.workerpool.values;

var Task = class Task {
    constructor() {
        this._context = null;
        this._settings = null;
        this.position = 0;
        // The worker's own, from its first task to its last.
        this.state = {};
    }

    open(context) {
        this._context = context;
        this.position = 0;
    }

    get workerId() {
        return this._context.get_worker_id();
    }

    get isCancelled() {
        return this._context.is_cancelled();
    }

    get cancellable() {
        return this._context.get_cancellable();
    }

    // What the pool was made with.
    get settings() {
        if (this._settings === null) {
            const objects = this._context.get_shared_objects();
            this._settings = objects === null ? {} : fromVariant(objects);
        }
        return this._settings;
    }

    get shared() {
        return this.settings.shared;
    }

    // Tells the caller's onEvent, while the task goes on.
    emit(value) {
        this._context.emit(Messages.writeEvent(this.position, value));
    }
};
