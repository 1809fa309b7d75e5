namespace Sweep;

internal static class Program
{
    public static int Main(string[] arguments) => SweepCommand.Create().Parse(arguments).Invoke();
}
