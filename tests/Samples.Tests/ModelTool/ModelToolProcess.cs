using System.Diagnostics;
using Samples.Tests.BatchScoring;

namespace Samples.Tests.ModelTool;

/// <summary>Runs the program as its users do.</summary>
internal static class ModelToolProcess
{
    public static BatchScoringProcess.Result Run(params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "ModelTool.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        return BatchScoringProcess.ReadToEnd(process);
    }
}
