using System.Globalization;
using Spectre.Console;

namespace ModelTool;

/// <summary>How figures and tables are printed.</summary>
internal static class Report
{
    private const int WidthOfFiles = 160;

    public static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    public static string Giga(long value) => (value / 1e9).ToString("0.000", CultureInfo.InvariantCulture);

    /// <summary>Prints a table; in a file or pipe it is as wide as it needs to be.</summary>
    public static void Write(Table table)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });
        if (Console.IsOutputRedirected)
            console.Profile.Width = WidthOfFiles;
        console.Write(table);
    }
}
