using System.Runtime.InteropServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The part of cuDNN's graph API that convolutions need. The library is there where ONNX Runtime's CUDA provider is.</summary>
internal sealed unsafe class Cudnn
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["cudnn64_9.dll"] : ["libcudnn.so.9"];

    private static readonly Lazy<Cudnn> Loaded = new(() => new Cudnn());

    private readonly delegate* unmanaged<nint*, int> _create;
    private readonly delegate* unmanaged<nint, nint, int> _setStream;
    private readonly delegate* unmanaged<int, byte*> _getErrorString;
    private readonly delegate* unmanaged<int, nint*, int> _createDescriptor;
    private readonly delegate* unmanaged<nint, int> _destroyDescriptor;
    private readonly delegate* unmanaged<nint, int> _finalize;
    private readonly delegate* unmanaged<nint, int, int, long, void*, int> _setAttribute;
    private readonly delegate* unmanaged<nint, int, int, long, long*, void*, int> _getAttribute;
    private readonly delegate* unmanaged<nint, nint, nint, int> _execute;

    private Cudnn()
    {
        var library = NativeLibraries.Load(Names, "cuDNN 9, which the CUDA execution provider needs");
        nint Export(string name) => NativeLibrary.GetExport(library, name);
        _create = (delegate* unmanaged<nint*, int>)Export("cudnnCreate");
        _setStream = (delegate* unmanaged<nint, nint, int>)Export("cudnnSetStream");
        _getErrorString = (delegate* unmanaged<int, byte*>)Export("cudnnGetErrorString");
        _createDescriptor = (delegate* unmanaged<int, nint*, int>)Export("cudnnBackendCreateDescriptor");
        _destroyDescriptor = (delegate* unmanaged<nint, int>)Export("cudnnBackendDestroyDescriptor");
        _finalize = (delegate* unmanaged<nint, int>)Export("cudnnBackendFinalize");
        _setAttribute = (delegate* unmanaged<nint, int, int, long, void*, int>)Export("cudnnBackendSetAttribute");
        _getAttribute = (delegate* unmanaged<nint, int, int, long, long*, void*, int>)Export("cudnnBackendGetAttribute");
        _execute = (delegate* unmanaged<nint, nint, nint, int>)Export("cudnnBackendExecute");
    }

    /// <exception cref="NotSupportedException">cuDNN is not on the library path.</exception>
    public static Cudnn Instance => Loaded.Value;

    /// <summary>A handle (cudnnHandle_t) for the calling thread's context. One thread at a time may use it.</summary>
    public nint CreateHandle()
    {
        nint handle;
        Check(_create(&handle), "cudnnCreate");
        return handle;
    }

    public void SetStream(nint handle, nint stream) => Check(_setStream(handle, stream), "cudnnSetStream");

    public nint CreateDescriptor(CudnnDescriptor type)
    {
        nint descriptor;
        Check(_createDescriptor((int)type, &descriptor), $"creating the descriptor {type}");
        return descriptor;
    }

    public void DestroyDescriptor(nint descriptor) => _ = _destroyDescriptor(descriptor);

    public void Complete(nint descriptor, string what) => Check(_finalize(descriptor), what);

    /// <summary>Completes a descriptor; false where cuDNN does not support what it describes.</summary>
    public bool TryComplete(nint descriptor) => _finalize(descriptor) == 0;

    public void Set<T>(nint descriptor, CudnnAttribute attribute, CudnnType type, params ReadOnlySpan<T> values) where T : unmanaged
    {
        fixed (T* pointer = values)
            Check(_setAttribute(descriptor, (int)attribute, (int)type, values.Length, pointer), $"setting the attribute {attribute}");
    }

    public long GetCount(nint descriptor, CudnnAttribute attribute, CudnnType type)
    {
        long count;
        Check(_getAttribute(descriptor, (int)attribute, (int)type, 0, &count, null), $"getting the attribute {attribute}");
        return count;
    }

    public void Get<T>(nint descriptor, CudnnAttribute attribute, CudnnType type, Span<T> values) where T : unmanaged
    {
        long count;
        fixed (T* pointer = values)
            Check(_getAttribute(descriptor, (int)attribute, (int)type, values.Length, &count, pointer), $"getting the attribute {attribute}");
    }

    public void Execute(nint handle, nint plan, nint pack) => Check(_execute(handle, plan, pack), "cudnnBackendExecute");

    /// <summary>Executes a plan; false where it cannot.</summary>
    public bool TryExecute(nint handle, nint plan, nint pack) => _execute(handle, plan, pack) == 0;

    private void Check(int status, string what)
    {
        if (status != 0)
            throw new KernelException($"cuDNN error {status} ({Marshal.PtrToStringUTF8((nint)_getErrorString(status))}) in {what}");
    }
}

/// <summary>cudnnBackendDescriptorType_t</summary>
internal enum CudnnDescriptor
{
    Pointwise = 0,
    Convolution = 1,
    EngineConfiguration = 3,
    EngineHeuristics = 4,
    ExecutionPlan = 5,
    ConvolutionForward = 10,
    PointwiseOperation = 13,
    OperationGraph = 15,
    VariantPack = 16,
    Tensor = 17,
}

/// <summary>cudnnBackendAttributeType_t</summary>
internal enum CudnnType
{
    Handle = 0,
    DataType = 1,
    Boolean = 2,
    Int64 = 3,
    Float = 4,
    Pointer = 6,
    ConvolutionMode = 7,
    HeuristicsMode = 8,
    PointwiseMode = 14,
    Descriptor = 15,
}

/// <summary>cudnnBackendAttributeName_t</summary>
internal enum CudnnAttribute
{
    PointwiseMode = 0,
    PointwisePrecision = 1,
    ConvolutionPrecision = 100,
    ConvolutionMode = 101,
    ConvolutionDilations = 102,
    ConvolutionStrides = 103,
    ConvolutionPostPaddings = 104,
    ConvolutionPrePaddings = 105,
    ConvolutionSpatialDims = 106,
    HeuristicsMode = 200,
    HeuristicsGraph = 201,
    HeuristicsResults = 202,
    PlanHandle = 400,
    PlanConfiguration = 401,
    PlanWorkspaceSize = 402,
    ForwardAlpha = 700,
    ForwardBeta = 701,
    ForwardConvolution = 702,
    ForwardWeight = 703,
    ForwardX = 704,
    ForwardY = 705,
    PointwiseDescriptor = 750,
    PointwiseX = 751,
    PointwiseB = 752,
    PointwiseY = 753,
    GraphHandle = 800,
    GraphOperations = 801,
    TensorAlignment = 900,
    TensorDataType = 901,
    TensorDimensions = 902,
    TensorStrides = 903,
    TensorId = 906,
    TensorIsVirtual = 907,
    PackIds = 1000,
    PackPointers = 1001,
    PackWorkspace = 1003,
}
