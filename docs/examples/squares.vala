// SPDX-License-Identifier: LGPL-2.1-or-later

static Variant square (Wp.TaskContext context, Variant args) throws Error
{
  var number = args.get_int32 ();

  return new Variant.int64 ((int64) number * number);
}

static async void print_squares (Wp.WorkerPool pool)
{
  try
    {
      var squares = yield pool.map_async ("square", new Variant.parsed ("[1, 2, 3, 4]"), null, null);

      print ("%s\n", squares.print (false));
    }
  catch (Error error)
    {
      printerr ("%s\n", error.message);
    }
}

int main (string[] args)
{
  Wp.register_function ("square", square);
  if (Wp.Worker.is_requested ())
    return Wp.Worker.main ();

  var loop = new MainLoop ();
  var pool = new Wp.WorkerPool (0);
  print_squares.begin (pool, () => loop.quit ());
  loop.run ();

  return 0;
}
