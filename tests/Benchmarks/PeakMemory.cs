using System.Runtime.InteropServices;

namespace Benchmarks;

/// <summary>
/// The memory that was taken since: on a CUDA device, where ONNX Runtime gives nothing back before a session ends, or the largest that
/// the process had at a time (Linux).
/// </summary>
internal sealed partial class PeakMemory
{
    private const string Driver = "libcuda.so.1";

    private readonly bool _cuda;
    private readonly double _before;

    public PeakMemory(bool cuda)
    {
        _cuda = cuda;
        if (!cuda)
            File.WriteAllText("/proc/self/clear_refs", "5"); // the peak counts from now on
        _before = Now();
    }

    public double Bytes => Now() - _before;

    private double Now() => _cuda ? UsedOnDevice() : PeakOfProcess();

    private static double PeakOfProcess()
    {
        var line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmHWM", StringComparison.Ordinal));
        return 1024 * double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
    }

    private static double UsedOnDevice()
    {
        Check(Init(0));
        Check(RetainPrimaryContext(out var context, 0));
        Check(SetCurrentContext(context));
        Check(GetMemory(out var free, out var total));
        Check(ReleasePrimaryContext(0));
        return total - free;
    }

    private static void Check(int status)
    {
        if (status != 0)
            throw new InvalidOperationException($"the CUDA driver reports error {status}");
    }

    [LibraryImport(Driver, EntryPoint = "cuInit")]
    private static partial int Init(uint flags);

    [LibraryImport(Driver, EntryPoint = "cuDevicePrimaryCtxRetain")]
    private static partial int RetainPrimaryContext(out nint context, int device);

    [LibraryImport(Driver, EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
    private static partial int ReleasePrimaryContext(int device);

    [LibraryImport(Driver, EntryPoint = "cuCtxSetCurrent")]
    private static partial int SetCurrentContext(nint context);

    [LibraryImport(Driver, EntryPoint = "cuMemGetInfo_v2")]
    private static partial int GetMemory(out nuint free, out nuint total);
}
