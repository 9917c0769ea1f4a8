// SPDX-License-Identifier: LGPL-2.1-or-later

/* Its methods are functions like any other; the object is what they have for themselves. */
class Divider : Object
{
  public int dividend { get; construct; }

  public Divider (int dividend)
  {
    Object (dividend: dividend);
  }

  public Variant divide (Wp.TaskContext context, Variant args) throws Error
  {
    var divisor = args.get_int32 ();

    if (divisor == 0)
      throw new IOError.INVALID_ARGUMENT ("%d cannot be divided by 0", dividend);
    if (divisor < 0)
      Process.abort ();

    return dividend / divisor;
  }
}

static async void divide_by_all (Wp.WorkerPool pool, int[] divisors) throws Error
{
  var options = new Wp.TaskOptions () { on_error = Wp.OnError.CONTINUE };
  var batch = pool.start_batch ("divide", options);
  Wp.Result? result;

  foreach (var divisor in divisors)
    yield batch.push_async (divisor);
  batch.close ();

  while ((result = yield batch.next_async ()) != null)
    {
      if (result.error == null)
        print ("42 / %d = %d\n", divisors[result.index], result.value.get_int32 ());
      else
        print ("42 / %d: %s\n", divisors[result.index], result.error.message);
    }
}

static async void divide_by_one (Wp.WorkerPool pool, int divisor) throws Error
{
  try
    {
      var quotient = yield pool.apply_async ("divide", divisor);

      print ("42 / %d = %d\n", divisor, quotient.get_int32 ());
    }
  catch (IOError.INVALID_ARGUMENT error)
    {
      print ("There is no 42 / %d\n", divisor);
    }
  catch (Wp.Error.WORKER_DIED error)
    {
      print ("42 / %d has cost a worker\n", divisor);
    }
}

static async void run (Wp.WorkerPool pool)
{
  try
    {
      yield divide_by_all (pool, { 2, 0, -1, 6 });
      yield divide_by_one (pool, 7);
      yield divide_by_one (pool, 0);
      yield divide_by_one (pool, -1);
      yield pool.stop_and_join_async ();
    }
  catch (Error error)
    {
      printerr ("%s\n", error.message);
    }
}

int main (string[] args)
{
  Wp.register_function ("divide", new Divider (42).divide);
  if (Wp.Worker.is_requested ())
    return Wp.Worker.main ();

  Intl.setlocale ();
  var loop = new MainLoop ();
  run.begin (new Wp.WorkerPool (2), () => loop.quit ());
  loop.run ();

  return 0;
}
