using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Benchmarks;

/// <summary>Runs a script of <c>tests/Benchmarks/pytorch</c>, which times what a benchmark compares with.</summary>
internal static class PyTorchPeer
{
    /// <summary>The median time in milliseconds that the script prints, or null if it prints none.</summary>
    /// <exception cref="FileNotFoundException">The current folder is not the repository's root.</exception>
    public static double? Run(string python, string scriptName, string arguments)
    {
        var script = Path.Combine(Environment.CurrentDirectory, "tests/Benchmarks/pytorch", scriptName);
        if (!File.Exists(script))
            throw new FileNotFoundException($"run from the repository's root: there is no {script}");
        using var process = Process.Start(new ProcessStartInfo(python, $"{script} {arguments}") { RedirectStandardOutput = true })!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Console.Write(output);
        return Regex.Match(output, @"median ([0-9.]+) ms") is { Success: true } match
            ? double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)
            : null;
    }
}
