// SPDX-License-Identifier: LGPL-2.1-or-later

// The API as a Vala program sees it. It is its own host: its functions are registered as delegates.

private const int PATIENCE_S = 30;
private const int LOOK_INTERVAL_MS = 5;

private string hold_folder;
private string hold_path;

// Helpers

private delegate bool Condition ();
private delegate void Begin (AsyncReadyCallback callback);
private delegate void End (AsyncResult result) throws GLib.Error;
private delegate void Call () throws GLib.Error;

// Runs an asynchronous test to its end.
private void run (Begin begin, End end) {
    var loop = new MainLoop ();
    AsyncResult? answer = null;

    begin ((source, result) => {
        answer = result;
        loop.quit ();
    });
    loop.run ();

    try {
        end (answer);
    } catch (GLib.Error e) {
        error ("%s (%s, %d)", e.message, e.domain.to_string (), e.code);
    }
    check_children ();
}

private async void until (Condition condition, string what) {
    int64 end = get_monotonic_time () + PATIENCE_S * TimeSpan.SECOND;

    while (!condition ()) {
        if (get_monotonic_time () > end)
            error ("waited in vain for %s", what);
        Timeout.add (LOOK_INTERVAL_MS, until.callback);
        yield;
    }
}

private void expect_error (Quark domain, int code, Call call) {
    try {
        call ();
    } catch (GLib.Error e) {
        if (!e.matches (domain, code))
            error ("%s (%s, %d) is not the expected error %d", e.message, e.domain.to_string (), e.code, code);
        return;
    }
    error ("error %d was not thrown", code);
}

private Variant numbers (int first, int last) {
    var builder = new VariantBuilder (new VariantType ("ai"));

    for (int n = first; n <= last; n++)
        builder.add ("i", n);

    return builder.end ();
}

private void assert_squares (Variant results, int first, int last) {
    assert_cmpstr (results.get_type_string (), CompareOperator.EQ, "av");
    assert_true (results.n_children () == last - first + 1);
    for (int n = first; n <= last; n++)
        assert_true (results.get_child_value (n - first).get_variant ().get_int64 () == (int64) n * n);
}

private int count_children () {
    int n = 0;

    try {
        string? name;
        var processes = Dir.open ("/proc");

        while ((name = processes.read_name ()) != null) {
            string stat;

            if (!name[0].isdigit ())
                continue;
            try {
                FileUtils.get_contents (@"/proc/$name/stat", out stat);
            } catch (FileError e) {
                // It has ended meanwhile.
                continue;
            }
            string[] fields = stat.substring (stat.last_index_of_char (')') + 1).strip ().split (" ");
            if (int.parse (fields[1]) == Posix.getpid ())
                n++;
        }
    } catch (FileError e) {
        error ("%s", e.message);
    }

    return n;
}

private void check_children () {
    assert_cmpint (count_children (), CompareOperator.EQ, 0);
}

// Makes a folder for the file that tasks wait for.
private void hold_begin () throws GLib.Error {
    hold_folder = DirUtils.make_tmp ("workerpool-XXXXXX");
    hold_path = Path.build_filename (hold_folder, "hold");
}

private bool hold_runs () {
    return FileUtils.test (hold_path + ".running", FileTest.EXISTS);
}

private void hold_let_go () throws GLib.Error {
    FileUtils.set_contents (hold_path, "");
}

private void hold_end () {
    FileUtils.remove (hold_path);
    FileUtils.remove (hold_path + ".running");
    DirUtils.remove (hold_folder);
}

private Wp.TaskOptions continue_options () {
    return new Wp.TaskOptions () { on_error = Wp.OnError.CONTINUE };
}

// Calls

private void test_map () {
    try {
        var pool = new Wp.WorkerPool (2);

        assert_squares (pool.map ("square", numbers (0, 999)), 0, 999);
        assert_true (pool.stop_and_join ());
    } catch (GLib.Error e) {
        error ("%s", e.message);
    }
    check_children ();
}

private async void map_async () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);

    assert_squares (yield pool.map_async ("square", numbers (1, 3)), 1, 3);
    yield pool.stop_and_join_async ();
}

private async void map_continue () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);
    var results = yield pool.map_async ("fail_odd", numbers (2, 4), continue_options ());

    assert_true (results.n_children () == 3);
    assert_true (results.get_child_value (0).get_variant ().get_int64 () == 4);
    assert_true (results.get_child_value (1).get_variant ().get_maybe () == null);
    assert_true (results.get_child_value (2).get_variant ().get_int64 () == 16);
    try {
        yield pool.map_async ("fail_odd", numbers (2, 4));
        assert_not_reached ();
    } catch (IOError.INVALID_DATA e) {
        assert_cmpstr (e.message, CompareOperator.EQ, "3 is odd");
    }
    pool.stop_and_join ();
}

private void test_apply_context () {
    try {
        var pool = new Wp.WorkerPool (1);
        var context = new MainContext ();
        AsyncResult? answer = null;

        context.push_thread_default ();
        pool.apply_async.begin ("square", new Variant.int32 (7), null, null, (source, result) => {
            answer = result;
        });
        context.pop_thread_default ();
        // Only that context is iterated.
        while (answer == null)
            context.iteration (true);
        assert_true (pool.apply_async.end (answer).get_int64 () == 49);
        pool.stop_and_join ();
    } catch (GLib.Error e) {
        error ("%s", e.message);
    }
    check_children ();
}

private async void apply_nothing () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);

    assert_cmpstr ((yield pool.apply_async ("echo")).get_type_string (), CompareOperator.EQ, "()");
    pool.stop_and_join ();
}

// Signals

private async void pool_signals () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);
    var options = continue_options ();
    string told = "";
    uint64 first = 0;
    int started = 0;
    bool exited = false;

    pool.task_completed.connect ((id, result) => {
        if (first == 0)
            first = id;
        told += @"$(id - first)=$(result.get_int64 ()) ";
    });
    pool.task_failed.connect ((id, failure) => {
        assert_true (failure is IOError.INVALID_DATA);
        told += @"$(id - first)! ";
    });
    pool.worker_started.connect ((worker_id, pid) => {
        assert_true (worker_id == 0 && pid > 0);
        started = pid;
    });
    pool.worker_exited.connect ((worker_id, pid, failure) => {
        // No error: the pool had asked it to end.
        assert_true (worker_id == 0 && pid == started && failure == null);
        exited = true;
    });
    pool.drained.connect (() => told += "drained");

    options.chunk_size = 1;
    pool.map ("fail_odd", numbers (2, 4), options);
    pool.stop_and_join ();
    assert_cmpstr (told, CompareOperator.EQ, "");
    yield until (() => exited, "worker-exited");
    assert_cmpstr (told, CompareOperator.EQ, "0=4 1! 2=16 drained");
}

private async void batch_signals () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);
    var batch = pool.start_batch ("fail_odd", continue_options ());
    string told = "";
    bool finished = false;

    batch.result.connect ((index, value) => told += @"$index=$(value.get_int64 ()) ");
    batch.failed.connect ((index, failure) => told += @"$index: $(failure.message) ");
    batch.finished.connect (() => finished = true);
    for (int n = 2; n <= 4; n++)
        batch.push (new Variant.int32 (n));
    batch.close ();
    yield until (() => finished, "finished");
    assert_cmpstr (told, CompareOperator.EQ, "0=4 1: 3 is odd 2=16 ");
    assert_true (batch.state == Wp.BatchState.FINISHED);
    assert_true (batch.n_pushed == 3 && batch.n_completed == 3 && batch.n_failed == 1);
    pool.stop_and_join ();
}

// Errors

private async void errors_identity () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);

    try {
        pool.apply ("fail");
        assert_not_reached ();
    } catch (IOError.NOT_FOUND e) {
        assert_cmpstr (e.message, CompareOperator.EQ, "failed as asked");
    }
    try {
        yield pool.apply_async ("fail");
        assert_not_reached ();
    } catch (IOError.NOT_FOUND e) {
        assert_cmpstr (e.message, CompareOperator.EQ, "failed as asked");
    }
    pool.stop_and_join ();
}

private async void errors_domain () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);

    try {
        yield pool.apply_async ("nowhere");
        assert_not_reached ();
    } catch (Wp.Error.UNKNOWN_FUNCTION e) {
        assert_true ("nowhere" in e.message);
        assert_true (e.domain == Wp.Error.quark ());
    }
    pool.stop_and_join ();
}

private async void errors_arguments () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);

    expect_error (IOError.quark (), IOError.INVALID_ARGUMENT, () => pool.map ("square", new Variant.int32 (1)));
    expect_error (IOError.quark (), IOError.INVALID_ARGUMENT, () => pool.apply (""));
    pool.stop_and_join ();
}

// Death

private async void death () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);
    int started = 0;
    int exited = 0;

    hold_begin ();
    pool.worker_started.connect ((worker_id, pid) => {
        if (started == 0)
            started = pid;
    });
    pool.worker_exited.connect ((worker_id, pid, failure) => {
        if (exited == 0)
            assert_true (failure is Wp.Error.WORKER_DIED);
        exited = exited == 0 ? pid : exited;
    });
    GLib.Error? failure = null;
    bool ended = false;
    pool.apply_async.begin ("hold", new Variant.string (hold_path), null, null, (source, result) => {
        try {
            pool.apply_async.end (result);
        } catch (GLib.Error e) {
            failure = e;
        }
        ended = true;
    });
    yield until (() => started > 0 && hold_runs (), "the task to run");
    Posix.kill (started, Posix.Signal.KILL);
    yield until (() => ended && exited > 0, "the end of the task and the worker");
    assert_true (failure is Wp.Error.WORKER_DIED);
    assert_true (started.to_string () in failure.message && "hold" in failure.message);
    assert_cmpint (exited, CompareOperator.EQ, started);
    assert_true (pool.apply ("square", new Variant.int32 (3)).get_int64 () == 9);
    pool.stop_and_join ();
    hold_end ();
}

private async void death_retried () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);
    int[] pids = {};
    Variant? value = null;

    hold_begin ();
    pool.worker_started.connect ((worker_id, pid) => pids += pid);
    var options = new Wp.TaskOptions () { max_retries = 1 };
    pool.apply_async.begin ("hold", new Variant.string (hold_path), options, null, (source, result) => {
        try {
            value = pool.apply_async.end (result);
        } catch (GLib.Error e) {
            error ("%s", e.message);
        }
    });
    yield until (() => pids.length > 0 && hold_runs (), "the task to run");
    Posix.kill (pids[0], Posix.Signal.KILL);
    yield until (() => pids.length == 2, "another worker");
    assert_null (value);
    hold_let_go ();
    yield until (() => value != null, "the result");
    assert_true (value.get_boolean ());
    pool.stop_and_join ();
    hold_end ();
}

// Batches

private async void batch_list () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);
    var batch = pool.start_batch ("fail_odd", continue_options ());
    ListModel list = batch;
    uint length = 0;
    bool finished = false;

    assert_true (list.get_item_type () == typeof (Wp.Result));
    assert_true (list.get_n_items () == 0);
    list.items_changed.connect ((position, removed, added) => {
        assert_true (position == length && removed == 0);
        length += added;
    });
    batch.finished.connect (() => finished = true);
    for (int n = 0; n < 10; n++)
        batch.push (new Variant.int32 (n));
    batch.close ();
    yield until (() => finished, "finished");

    assert_true (list.get_n_items () == 10 && length == 10);
    for (int n = 0; n < 10; n++) {
        var result = (Wp.Result) list.get_item (n);

        assert_true (result.index == n);
        if (n % 2 == 0) {
            assert_true (result.value.get_int64 () == n * n);
            assert_true (result.error == null && result.get_error () == null);
        } else {
            assert_true (result.value == null && result.get_value () == null);
            assert_true (result.error is IOError.INVALID_DATA);
            assert_cmpstr (result.get_error ().message, CompareOperator.EQ, @"$n is odd");
        }
    }
    assert_null (list.get_item (10));
    expect_error (IOError.quark (), IOError.NOT_SUPPORTED, () => batch.next ());
    pool.stop_and_join ();
}

private class Bar : Object {
    public double fraction { get; set; }
}

private async void batch_fraction () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);
    var batch = pool.start_batch ("square");
    var bar = new Bar ();
    double last = 0;

    bar.notify["fraction"].connect (() => {
        assert_true (bar.fraction >= last);
        last = bar.fraction;
    });
    batch.bind_property ("fraction", bar, "fraction", BindingFlags.SYNC_CREATE);
    batch.result.connect (() => {});
    batch.n_total = 100;
    for (int n = 0; n < 50; n++)
        batch.push (new Variant.int32 (n));
    yield until (() => bar.fraction == 0.5, "the half");
    for (int n = 0; n < 50; n++)
        batch.push (new Variant.int32 (n));
    batch.close ();
    yield until (() => bar.fraction == 1, "the end");
    assert_true (batch.state == Wp.BatchState.FINISHED);
    assert_true (batch.remaining == 0);
    pool.stop_and_join ();
}

private async void batch_push () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);
    var options = new Wp.TaskOptions () { max_active_tasks = 2 };
    var batch = pool.start_batch ("hold", options);
    bool pushed = false;

    hold_begin ();
    var item = new Variant.string (hold_path);
    assert_true (batch.get_room () == 2);
    assert_true (batch.push (item) && batch.push (item));
    assert_true (batch.get_room () == 0);
    expect_error (IOError.quark (), IOError.WOULD_BLOCK, () => batch.push (item));
    batch.push_async.begin (item, null, (source, result) => {
        try {
            pushed = batch.push_async.end (result);
        } catch (GLib.Error e) {
            error ("%s", e.message);
        }
    });
    yield until (() => hold_runs (), "the task to run");
    assert_false (pushed);
    var cancellable = new Cancellable ();
    Idle.add (() => {
        cancellable.cancel ();
        return Source.REMOVE;
    });
    try {
        yield batch.push_async (item, cancellable);
        assert_not_reached ();
    } catch (IOError.CANCELLED e) {
        assert_false (pushed);
    }
    hold_let_go ();
    assert_true (batch.next ().index == 0);
    yield until (() => pushed, "the third task to be added");
    batch.close ();
    expect_error (Wp.Error.quark (), Wp.Error.CLOSED, () => batch.push (item));
    assert_true (batch.next ().index == 1 && batch.next ().index == 2);
    assert_null (batch.next ());
    pool.stop_and_join ();
    hold_end ();
}

private async void batch_next () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);
    var batch = pool.start_batch ("fail_odd", continue_options ());
    Wp.Result? result;
    int n = 0;

    for (int i = 0; i < 20; i++)
        yield batch.push_async (new Variant.int32 (i));
    batch.close ();
    while ((result = yield batch.next_async ()) != null) {
        assert_true (result.index == n);
        assert_true ((result.error == null) == (n % 2 == 0));
        n++;
    }
    assert_cmpint (n, CompareOperator.EQ, 20);
    pool.stop_and_join ();
}

// Cancellation

private async void cancel () throws GLib.Error {
    var pool = new Wp.WorkerPool (1) { grace_period = int.MAX };
    var running = new Cancellable ();
    var queued = new Cancellable ();
    bool cancelled = false;

    hold_begin ();
    pool.apply_async.begin ("hold", new Variant.string (hold_path), null, running, (source, result) => {
        try {
            pool.apply_async.end (result);
            assert_not_reached ();
        } catch (GLib.Error e) {
            assert_true (e is IOError.CANCELLED);
            cancelled = true;
        }
    });
    yield until (() => hold_runs (), "the task to run");
    Idle.add (() => {
        queued.cancel ();
        return Source.REMOVE;
    });
    try {
        yield pool.map_async ("square", numbers (1, 3), null, queued);
        assert_not_reached ();
    } catch (IOError.CANCELLED e) {
        assert_false (cancelled);
    }
    // Only a task that sees it ends before the grace period does.
    running.cancel ();
    yield until (() => cancelled, "the running task to end");
    expect_error (IOError.quark (), IOError.CANCELLED,
                  () => pool.apply ("square", new Variant.int32 (1), null, queued));
    pool.stop_and_join ();
    hold_end ();
}

private async void cancel_deaf () throws GLib.Error {
    var pool = new Wp.WorkerPool (1) { grace_period = 50 };
    var cancellable = new Cancellable ();
    bool exited = false;

    hold_begin ();
    pool.worker_exited.connect (() => exited = true);
    cancel_when_held.begin (cancellable);
    try {
        yield pool.apply_async ("hold_on", new Variant.string (hold_path), null, cancellable);
        assert_not_reached ();
    } catch (IOError.CANCELLED e) {
        assert_true (hold_runs ());
    }
    yield until (() => exited, "worker-exited");
    pool.stop_and_join ();
    hold_end ();
}

private async void cancel_when_held (Cancellable cancellable) {
    yield until (() => hold_runs (), "the task to run");
    cancellable.cancel ();
}

// The end

private async void join () throws GLib.Error {
    var pool = new Wp.WorkerPool (2) { keep_alive = true };
    Variant? results = null;

    pool.map_async.begin ("square", numbers (1, 3), null, null, (source, result) => {
        try {
            results = pool.map_async.end (result);
        } catch (GLib.Error e) {
            error ("%s", e.message);
        }
    });
    assert_true (yield pool.stop_and_join_async ());
    assert_true (pool.n_workers == 0);
    yield until (() => results != null, "the results");
    assert_squares (results, 1, 3);
    expect_error (Wp.Error.quark (), Wp.Error.CLOSED, () => pool.map ("square", numbers (1, 1)));
    expect_error (Wp.Error.quark (), Wp.Error.CLOSED, () => pool.apply ("square", new Variant.int32 (1)));
    expect_error (Wp.Error.quark (), Wp.Error.CLOSED, () => pool.start_batch ("square"));
    expect_error (Wp.Error.quark (), Wp.Error.CLOSED, () => pool.start ());
    try {
        yield pool.map_async ("square", numbers (1, 1));
        assert_not_reached ();
    } catch (Wp.Error.CLOSED e) {
        assert_true ("joined" in e.message);
    }
}

private async void terminate () throws GLib.Error {
    var pool = new Wp.WorkerPool (1);

    hold_begin ();
    terminate_when_held.begin (pool);
    try {
        yield pool.apply_async ("hold_on", new Variant.string (hold_path));
        assert_not_reached ();
    } catch (IOError.CANCELLED e) {
        assert_true (hold_runs ());
    }
    assert_true (pool.join ());
    hold_end ();
}

private async void terminate_when_held (Wp.WorkerPool pool) {
    yield until (() => hold_runs (), "the task to run");
    pool.terminate ();
}

// Properties

private void test_properties () {
    var pool = new Wp.WorkerPool (0);

    assert_true (pool.n_jobs == Wp.cpu_count ());
    assert_true (pool.daemon && !pool.keep_alive);
    assert_true (pool.start_method == Wp.StartMethod.SPAWN);
    assert_true (pool.host == null && pool.launcher == null);
    pool.host = { "a", "program" };
    assert_cmpstr (string.joinv (" ", pool.get_host ()), CompareOperator.EQ, "a program");
    pool.host = null;
    assert_true (pool.get_host () == null);
    var launcher = new Wp.SpawnLauncher ({ "a", "program" }, Wp.Transport.STDIO);
    assert_cmpstr (string.joinv (" ", launcher.argv), CompareOperator.EQ, "a program");
    pool.launcher = launcher;
    assert_true (pool.get_launcher () == launcher);
}

private async void start_method () throws GLib.Error {
    var pool = new Wp.WorkerPool (1) { start_method = Wp.StartMethod.FORK, host = { "/bin/cat" } };

    try {
        pool.start ();
        assert_not_reached ();
    } catch (IOError.NOT_SUPPORTED e) {
        assert_true ("fork" in e.message);
    }
    try {
        yield pool.map_async ("square", numbers (1, 1));
        assert_not_reached ();
    } catch (IOError.NOT_SUPPORTED e) {
        assert_true ("fork" in e.message);
    }
    pool.stop_and_join ();
}

private void test_changes_subprocess () {
    var pool = new Wp.WorkerPool (1);

    Log.set_always_fatal (LogLevelFlags.LEVEL_ERROR | LogLevelFlags.LEVEL_CRITICAL);
    try {
        pool.apply ("square", new Variant.int32 (1));
        pool.n_jobs = 3;
        pool.daemon = false;
        assert_true (pool.n_jobs == 1 && pool.daemon);
        pool.stop_and_join ();
    } catch (GLib.Error e) {
        error ("%s", e.message);
    }
}

private void test_changes () {
    Test.trap_subprocess ("/vala/properties/changes-after-the-start-warn/subprocess", 0, 0);
    Test.trap_assert_passed ();
    Test.trap_assert_stderr ("*WpWorkerPool:n-jobs cannot be changed*WpWorkerPool:daemon cannot be changed*");
}

// Hosts

private async void own_functions () throws GLib.Error {
    const string FUNCTIONS = "echo fail fail_odd hold hold_on square where";
    var pool = new Wp.WorkerPool (1);

    assert_cmpstr (string.joinv (" ", Wp.list_functions ()), CompareOperator.EQ, FUNCTIONS);
    assert_cmpstr (string.joinv (" ", pool.list_functions ()), CompareOperator.EQ, FUNCTIONS);
    pool.stop_and_join ();
    Wp.register_function ("more", square);
    assert_true (Wp.unregister_function ("more"));
    assert_false (Wp.unregister_function ("more"));
}

private async void own_values () throws GLib.Error {
    var pool = new Wp.WorkerPool (2);
    Variant[] values = {
        new Variant.string ("ä"),
        new Variant.parsed ("(true, {'key': <0.5>})"),
        new Variant.from_bytes (VariantType.BYTESTRING, new Bytes (new uint8[1000000]), true)
    };

    foreach (var value in values)
        assert_true ((yield pool.apply_async ("echo", value)).equal (value));
    var places = yield pool.map_async ("where", numbers (0, 9));
    for (int n = 0; n < 10; n++) {
        uint worker;
        uint64 index;
        bool cancelled;

        places.get_child_value (n).get_variant ().get ("(utb)", out worker, out index, out cancelled);
        assert_true (worker < 2 && index == n && !cancelled);
    }
    pool.stop_and_join ();
}

private async void other_host (string variable) throws GLib.Error {
    string[] host;

    Shell.parse_argv (Environment.get_variable (variable), out host);
    var pool = new Wp.WorkerPool (1) { host = host };
    assert_squares (yield pool.map_async ("square", numbers (0, 99)), 0, 99);
    try {
        yield pool.apply_async ("fail");
        assert_not_reached ();
    } catch (IOError.NOT_FOUND e) {
        assert_cmpstr (e.message, CompareOperator.EQ, "failed as asked");
    }
    pool.stop_and_join ();
}

private void test_other_host (string variable) {
    if (Environment.get_variable (variable) == "")
        Test.skip ("there is no interpreter");
    else
        run (cb => other_host.begin (variable, cb), r => other_host.end (r));
}

public int main (string[] args) {
    register_functions ();
    if (Wp.Worker.is_requested ())
        return Wp.Worker.main ();

    Test.init (ref args);
    Test.add_func ("/vala/map/results-are-in-the-order-of-the-items", test_map);
    Test.add_func ("/vala/map/asynchronous-one-ends-in-the-main-loop", () =>
        run (cb => map_async.begin (cb), r => map_async.end (r)));
    Test.add_func ("/vala/map/continue-leaves-nothing-in-the-place-of-a-failed-task", () =>
        run (cb => map_continue.begin (cb), r => map_continue.end (r)));
    Test.add_func ("/vala/apply/result-comes-in-the-context-of-the-call", test_apply_context);
    Test.add_func ("/vala/apply/no-arguments-are-the-empty-tuple", () =>
        run (cb => apply_nothing.begin (cb), r => apply_nothing.end (r)));
    Test.add_func ("/vala/signals/pool-tells-of-tasks-and-workers", () =>
        run (cb => pool_signals.begin (cb), r => pool_signals.end (r)));
    Test.add_func ("/vala/signals/batch-tells-of-results", () =>
        run (cb => batch_signals.begin (cb), r => batch_signals.end (r)));
    Test.add_func ("/vala/errors/keep-domain-code-and-message-across-processes", () =>
        run (cb => errors_identity.begin (cb), r => errors_identity.end (r)));
    Test.add_func ("/vala/errors/of-the-pool-have-its-domain", () =>
        run (cb => errors_domain.begin (cb), r => errors_domain.end (r)));
    Test.add_func ("/vala/errors/wrong-arguments-are-refused-at-the-call", () =>
        run (cb => errors_arguments.begin (cb), r => errors_arguments.end (r)));
    Test.add_func ("/vala/death/costs-the-task-that-ran", () =>
        run (cb => death.begin (cb), r => death.end (r)));
    Test.add_func ("/vala/death/max-retries-runs-the-task-again", () =>
        run (cb => death_retried.begin (cb), r => death_retried.end (r)));
    Test.add_func ("/vala/batch/is-a-list-model-of-results", () =>
        run (cb => batch_list.begin (cb), r => batch_list.end (r)));
    Test.add_func ("/vala/batch/fraction-reaches-one-in-a-bound-property", () =>
        run (cb => batch_fraction.begin (cb), r => batch_fraction.end (r)));
    Test.add_func ("/vala/batch/push-is-held-back", () =>
        run (cb => batch_push.begin (cb), r => batch_push.end (r)));
    Test.add_func ("/vala/batch/next-comes-to-an-end", () =>
        run (cb => batch_next.begin (cb), r => batch_next.end (r)));
    Test.add_func ("/vala/cancel/ends-queued-tasks-at-once-and-asks-the-running-one", () =>
        run (cb => cancel.begin (cb), r => cancel.end (r)));
    Test.add_func ("/vala/cancel/stops-a-deaf-task-after-the-grace-period", () =>
        run (cb => cancel_deaf.begin (cb), r => cancel_deaf.end (r)));
    Test.add_func ("/vala/join/leaves-a-pool-that-takes-no-tasks", () =>
        run (cb => join.begin (cb), r => join.end (r)));
    Test.add_func ("/vala/terminate/kills-busy-workers", () =>
        run (cb => terminate.begin (cb), r => terminate.end (r)));
    Test.add_func ("/vala/properties/have-accessors-and-defaults", test_properties);
    Test.add_func ("/vala/properties/start-method-that-the-host-cannot-do-is-an-error", () =>
        run (cb => start_method.begin (cb), r => start_method.end (r)));
    Test.add_func ("/vala/properties/changes-after-the-start-warn", test_changes);
    Test.add_func ("/vala/properties/changes-after-the-start-warn/subprocess", test_changes_subprocess);
    Test.add_func ("/vala/host/knows-the-functions-that-it-registered", () =>
        run (cb => own_functions.begin (cb), r => own_functions.end (r)));
    Test.add_func ("/vala/host/is-this-program-with-delegates", () =>
        run (cb => own_values.begin (cb), r => own_values.end (r)));
    Test.add_func ("/vala/host/in-python-is-called-from-vala", () => test_other_host ("WORKERPOOL_PYTHON_HOST"));
    Test.add_func ("/vala/host/in-javascript-is-called-from-vala", () => test_other_host ("WORKERPOOL_GJS_HOST"));

    return Test.run ();
}
