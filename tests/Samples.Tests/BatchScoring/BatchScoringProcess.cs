using System.Diagnostics;

namespace Samples.Tests.BatchScoring;

/// <summary>Runs the program as its users do.</summary>
internal static class BatchScoringProcess
{
    public static Process Start(IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "BatchScoring.dll"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    public static Result Run(IEnumerable<string> arguments, string input = "", params (string Name, string Value)[] environment)
    {
        using var process = Start(arguments, environment);
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        return ReadToEnd(process);
    }

    public static Result ReadToEnd(Process process)
    {
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new(process.ExitCode, output, error.Result);
    }

    internal sealed record Result(int ExitCode, string Output, string Error);
}
