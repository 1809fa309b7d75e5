using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Microsoft.ML;
using Microsoft.ML.OnnxRuntime;

namespace Benchmarks;

/// <summary>What figures depend on.</summary>
internal static class Machine
{
    public static void Print()
    {
        Console.WriteLine($"{ProcessorName()}, {Environment.ProcessorCount} cores, {Simd()}, {RuntimeInformation.OSDescription}");
        Console.WriteLine($"{RuntimeInformation.FrameworkDescription}, ONNX Runtime {OrtEnv.Instance().GetVersionString()}, "
            + $"ML.NET {Version(typeof(MLContext))}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, load {LoadAverage()}");
    }

    public static int Option(string[] args, string name, int value)
    {
        int at = Array.IndexOf(args, name);
        return at < 0 ? value : int.Parse(args[at + 1]);
    }

    public static string Option(string[] args, string name, string value)
    {
        int at = Array.IndexOf(args, name);
        return at < 0 ? value : args[at + 1];
    }

    private static string ProcessorName()
    {
        const string path = "/proc/cpuinfo";
        string? line = File.Exists(path) ? File.ReadLines(path).FirstOrDefault(l => l.StartsWith("model name")) : null;
        return line?.Split(':', 2)[1].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString();
    }

    private static string Simd() =>
        Vector512.IsHardwareAccelerated ? "512-bit SIMD" : Vector256.IsHardwareAccelerated ? "256-bit SIMD" : "128-bit SIMD";

    private static string Version(Type type) => FileVersionInfo.GetVersionInfo(type.Assembly.Location).ProductVersion?.Split('+')[0] ?? "?";

    private static string LoadAverage() => File.Exists("/proc/loadavg") ? File.ReadAllText("/proc/loadavg").Split(' ')[0] : "?";
}
