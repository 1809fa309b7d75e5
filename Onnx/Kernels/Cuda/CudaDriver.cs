using System.Runtime.InteropServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The part of the CUDA driver API that loads and launches kernels, on the context that ONNX Runtime made current.</summary>
internal sealed unsafe class CudaDriver
{
    private const int ComputeCapabilityMajor = 75;
    private const int ComputeCapabilityMinor = 76;
    private const int MultiprocessorCount = 16;
    private const int MaxSharedMemoryPerBlockOptIn = 97;
    private const int MaxDynamicSharedSizeBytes = 8;

    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];

    private static readonly Lazy<CudaDriver> Loaded = new(() => new CudaDriver());

    private readonly delegate* unmanaged<int*, int> _driverGetVersion;
    private readonly delegate* unmanaged<int*, int> _deviceGetCount;
    private readonly delegate* unmanaged<nint*, int> _getCurrentContext;
    private readonly delegate* unmanaged<int*, int> _getCurrentDevice;
    private readonly delegate* unmanaged<int*, int, int, int> _deviceGetAttribute;
    private readonly delegate* unmanaged<nint*, byte*, int> _moduleLoadData;
    private readonly delegate* unmanaged<nint*, nint, byte*, int> _moduleGetFunction;
    private readonly delegate* unmanaged<nint, int, int, int> _functionSetAttribute;
    private readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> _launchKernel;
    private readonly delegate* unmanaged<int, byte**, int> _getErrorString;
    private readonly delegate* unmanaged<nint*, uint, int> _eventCreate;
    private readonly delegate* unmanaged<nint, nint, int> _eventRecord;
    private readonly delegate* unmanaged<nint, int> _eventSynchronize;
    private readonly delegate* unmanaged<float*, nint, nint, int> _eventElapsedTime;
    private readonly delegate* unmanaged<nint, int> _eventDestroy;

    private CudaDriver()
    {
        var library = NativeLibraries.Load(Names, "the CUDA driver, which comes with NVIDIA's display driver");
        nint Export(string name) => NativeLibrary.GetExport(library, name);
        _driverGetVersion = (delegate* unmanaged<int*, int>)Export("cuDriverGetVersion");
        _deviceGetCount = (delegate* unmanaged<int*, int>)Export("cuDeviceGetCount");
        _getCurrentContext = (delegate* unmanaged<nint*, int>)Export("cuCtxGetCurrent");
        _getCurrentDevice = (delegate* unmanaged<int*, int>)Export("cuCtxGetDevice");
        _deviceGetAttribute = (delegate* unmanaged<int*, int, int, int>)Export("cuDeviceGetAttribute");
        _moduleLoadData = (delegate* unmanaged<nint*, byte*, int>)Export("cuModuleLoadData");
        _moduleGetFunction = (delegate* unmanaged<nint*, nint, byte*, int>)Export("cuModuleGetFunction");
        _functionSetAttribute = (delegate* unmanaged<nint, int, int, int>)Export("cuFuncSetAttribute");
        _launchKernel = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)Export("cuLaunchKernel");
        _getErrorString = (delegate* unmanaged<int, byte**, int>)Export("cuGetErrorString");
        _eventCreate = (delegate* unmanaged<nint*, uint, int>)Export("cuEventCreate");
        _eventRecord = (delegate* unmanaged<nint, nint, int>)Export("cuEventRecord");
        _eventSynchronize = (delegate* unmanaged<nint, int>)Export("cuEventSynchronize");
        _eventElapsedTime = (delegate* unmanaged<float*, nint, nint, int>)Export("cuEventElapsedTime");
        _eventDestroy = (delegate* unmanaged<nint, int>)Export("cuEventDestroy_v2");
        Check(((delegate* unmanaged<uint, int>)Export("cuInit"))(0), "cuInit");
    }

    /// <exception cref="NotSupportedException">There is no CUDA driver.</exception>
    public static CudaDriver Instance => Loaded.Value;

    /// <summary>The newest CUDA version that the driver supports, for example 13.</summary>
    public int MajorVersion
    {
        get
        {
            int version;
            Check(_driverGetVersion(&version), "cuDriverGetVersion");
            return version / 1000;
        }
    }

    public int DeviceCount
    {
        get
        {
            int count;
            Check(_deviceGetCount(&count), "cuDeviceGetCount");
            return count;
        }
    }

    /// <summary>The calling thread's context (CUcontext).</summary>
    public nint CurrentContext
    {
        get
        {
            nint context;
            Check(_getCurrentContext(&context), "cuCtxGetCurrent");
            return context != 0 ? context : throw new KernelException("the thread has no CUDA context");
        }
    }

    /// <summary>The device of the calling thread's context.</summary>
    public CudaDevice CurrentDevice
    {
        get
        {
            int device;
            Check(_getCurrentDevice(&device), "cuCtxGetDevice");
            return new CudaDevice(
                device,
                Attribute(device, ComputeCapabilityMajor),
                Attribute(device, ComputeCapabilityMinor),
                Attribute(device, MultiprocessorCount),
                Attribute(device, MaxSharedMemoryPerBlockOptIn));
        }
    }

    /// <summary>Loads a cubin or PTX text into the current context.</summary>
    public nint LoadModule(byte[] image)
    {
        nint module;
        fixed (byte* data = image)
            Check(_moduleLoadData(&module, data), "cuModuleLoadData");
        return module;
    }

    public nint GetFunction(nint module, string name)
    {
        nint function;
        fixed (byte* text = System.Text.Encoding.UTF8.GetBytes(name + '\0'))
            Check(_moduleGetFunction(&function, module, text), $"cuModuleGetFunction of '{name}'");
        return function;
    }

    public void AllowSharedMemory(nint function, int bytes) =>
        Check(_functionSetAttribute(function, MaxDynamicSharedSizeBytes, bytes), $"cuFuncSetAttribute of {bytes} bytes of shared memory");

    public void Launch(nint function, string name, GridSize grid, int threads, int sharedBytes, nint stream, void* parameters) =>
        Check(
            _launchKernel(function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)threads, 1, 1, (uint)sharedBytes, stream, &parameters, null),
            $"launch of '{name}' with {grid} blocks of {threads} threads");

    /// <summary>An event (CUevent) that is recorded when a stream reaches it.</summary>
    public nint RecordEvent(nint stream)
    {
        nint point;
        Check(_eventCreate(&point, 0), "cuEventCreate");
        Check(_eventRecord(point, stream), "cuEventRecord");
        return point;
    }

    /// <summary>Milliseconds from one event to a later one, for which it waits.</summary>
    public float TimeBetween(nint first, nint second)
    {
        float time;
        Check(_eventSynchronize(second), "cuEventSynchronize");
        Check(_eventElapsedTime(&time, first, second), "cuEventElapsedTime");
        return time;
    }

    public void DestroyEvent(nint point) => _ = _eventDestroy(point);

    private int Attribute(int device, int attribute)
    {
        int value;
        Check(_deviceGetAttribute(&value, attribute, device), "cuDeviceGetAttribute");
        return value;
    }

    private void Check(int result, string what)
    {
        if (result == 0)
            return;
        byte* text = null;
        _getErrorString(result, &text);
        throw new KernelException($"CUDA error {result} ({Marshal.PtrToStringUTF8((nint)text) ?? "unknown"}) in {what}");
    }
}
