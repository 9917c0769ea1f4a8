// SPDX-License-Identifier: LGPL-2.1-or-later

// The functions that the Vala program runs in its workers, as delegates.

internal Variant square (Wp.TaskContext context, Variant args) throws GLib.Error {
    int64 number = args.get_int32 ();

    return new Variant.int64 (number * number);
}

internal Variant fail (Wp.TaskContext context, Variant args) throws GLib.Error {
    throw new IOError.NOT_FOUND ("failed as asked");
}

internal Variant fail_odd (Wp.TaskContext context, Variant args) throws GLib.Error {
    if (args.get_int32 () % 2 == 1)
        throw new IOError.INVALID_DATA ("%d is odd", args.get_int32 ());

    return square (context, args);
}

internal Variant echo (Wp.TaskContext context, Variant args) throws GLib.Error {
    return args;
}

internal Variant where (Wp.TaskContext context, Variant args) throws GLib.Error {
    return new Variant ("(utb)", context.get_worker_id (), context.get_task_index (), context.is_cancelled ());
}

// Says that it runs, by the file PATH.running, and runs until there is a file PATH.
internal Variant wait_for_file (string path, Wp.TaskContext? context) throws GLib.Error {
    FileUtils.set_contents (path + ".running", "");

    while (!FileUtils.test (path, FileTest.EXISTS)) {
        if (context != null && context.is_cancelled ())
            return new Variant.boolean (false);
        Thread.usleep (1000);
    }

    return new Variant.boolean (true);
}

// A function with data of its own.
internal class Holder : Object {
    public bool minds_cancel { get; construct; }

    public Holder (bool minds_cancel) {
        Object (minds_cancel: minds_cancel);
    }

    public Variant run (Wp.TaskContext context, Variant args) throws GLib.Error {
        return wait_for_file (args.get_string (), minds_cancel ? context : null);
    }
}

internal void register_functions () {
    Wp.register_function ("square", square);
    Wp.register_function ("fail", fail);
    Wp.register_function ("fail_odd", fail_odd);
    Wp.register_function ("echo", echo);
    Wp.register_function ("where", where);
    Wp.register_function ("hold", new Holder (true).run);
    Wp.register_function ("hold_on", new Holder (false).run);
}
