using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// The part of ONNX Runtime's C API that custom ops need and that its managed package does not expose.
/// </summary>
internal static unsafe class OrtCApi
{
    /// <summary>The newest API version whose structs this file was checked against (onnxruntime_c_api.h of 1.31).</summary>
    private const uint NewestKnownVersion = 31;

    /// <summary>The oldest API version that has every function used here.</summary>
    private const uint OldestSupportedVersion = 22;

    private static readonly Lock Loading = new();
    private static void** _table;

    /// <summary>Positions in the function table OrtApi, counted in pointers; the table only ever grows at its end.</summary>
    private enum Function
    {
        CreateStatus = 0,
        GetErrorMessage = 2,
        CreateCustomOpDomain = 26,
        CustomOpDomainAdd = 27,
        AddCustomOpDomain = 28,
        GetTensorMutableData = 51,
        GetDimensionsCount = 61,
        GetDimensions = 62,
        GetSymbolicDimensions = 63,
        GetTensorTypeAndShape = 65,
        AllocatorAlloc = 75,
        AllocatorFree = 76,
        KernelInfoGetAttributeFloat = 85,
        KernelInfoGetAttributeInt64 = 86,
        KernelInfoGetAttributeString = 87,
        KernelContextGetInputCount = 88,
        KernelContextGetOutputCount = 89,
        KernelContextGetInput = 90,
        KernelContextGetOutput = 91,
        ReleaseStatus = 93,
        ReleaseTensorTypeAndShapeInfo = 99,
        ReleaseAllocator = 132,
        KernelInfoGetAttributeArrayFloat = 162,
        KernelInfoGetAttributeArrayInt64 = 163,
        KernelContextGetGpuComputeStream = 193,
        GetTensorMemoryInfo = 194,
        KernelContextGetAllocator = 253,
        ShapeInferContextGetInputTypeShape = 268,
        ShapeInferContextSetOutputTypeShape = 270,
        KernelContextParallelFor = 274,
    }

    /// <summary>The API version in use: what the loaded library offers, but nothing newer than is known here.</summary>
    public static uint Version { get; private set; }

    /// <summary>Finds the C API of the ONNX Runtime library that the managed package uses.</summary>
    /// <exception cref="NotSupportedException">The library is missing or older than 1.22.</exception>
    public static void EnsureLoaded()
    {
        lock (Loading)
        {
            if (_table != null)
                return;
            if (!NativeLibrary.TryLoad("onnxruntime", typeof(InferenceSession).Assembly, null, out var library)
                && !NativeLibrary.TryLoad("onnxruntime", typeof(OrtCApi).Assembly, null, out library))
            {
                throw new NotSupportedException(
                    "the native library 'onnxruntime' was not found: reference Microsoft.ML.OnnxRuntime or Microsoft.ML.OnnxRuntime.Gpu");
            }
            var apiBase = ((delegate* unmanaged<void**>)NativeLibrary.GetExport(library, "OrtGetApiBase"))();
            var versionString = Text(((delegate* unmanaged<byte*>)apiBase[1])());
            Version = Math.Min(NewestKnownVersion, MinorVersion(versionString));
            var table = (void**)((delegate* unmanaged<uint, void*>)apiBase[0])(Version);
            if (Version < OldestSupportedVersion || table == null)
                throw new NotSupportedException($"ONNX Runtime {versionString} is too old for custom kernels: 1.{OldestSupportedVersion} or newer is needed");
            _table = table;
        }
    }

    /// <summary>A new OrtStatus; whoever receives it releases it.</summary>
    public static void* CreateStatus(OrtErrorCode code, string message)
    {
        fixed (byte* text = Utf8(message))
            return ((delegate* unmanaged<int, byte*, void*>)At(Function.CreateStatus))((int)code, text);
    }

    public static void* CreateDomain(string name)
    {
        void* domain;
        fixed (byte* text = Utf8(name))
            Check(((delegate* unmanaged<byte*, void**, void*>)At(Function.CreateCustomOpDomain))(text, &domain));
        return domain;
    }

    public static void AddToDomain(void* domain, NativeCustomOp* op) =>
        Check(((delegate* unmanaged<void*, NativeCustomOp*, void*>)At(Function.CustomOpDomainAdd))(domain, op));

    public static void AddDomain(SessionOptions options, void* domain)
    {
        Check(((delegate* unmanaged<nint, void*, void*>)At(Function.AddCustomOpDomain))(options.DangerousGetHandle(), domain));
        GC.KeepAlive(options);
    }

    /// <summary>False where the node has no attribute of this name and kind.</summary>
    public static bool TryGetAttribute(void* info, string name, out long value)
    {
        fixed (byte* text = Utf8(name))
        fixed (long* result = &value)
            return Succeeded(((delegate* unmanaged<void*, byte*, long*, void*>)At(Function.KernelInfoGetAttributeInt64))(info, text, result));
    }

    public static bool TryGetAttribute(void* info, string name, out float value)
    {
        fixed (byte* text = Utf8(name))
        fixed (float* result = &value)
            return Succeeded(((delegate* unmanaged<void*, byte*, float*, void*>)At(Function.KernelInfoGetAttributeFloat))(info, text, result));
    }

    public static bool TryGetAttribute(void* info, string name, out byte[] value) =>
        TryGetArray(Function.KernelInfoGetAttributeString, info, name, out value);

    public static bool TryGetAttribute(void* info, string name, out float[] value) =>
        TryGetArray(Function.KernelInfoGetAttributeArrayFloat, info, name, out value);

    public static bool TryGetAttribute(void* info, string name, out long[] value) =>
        TryGetArray(Function.KernelInfoGetAttributeArrayInt64, info, name, out value);

    public static int GetInputCount(void* context) => GetCount(Function.KernelContextGetInputCount, context);

    public static int GetOutputCount(void* context) => GetCount(Function.KernelContextGetOutputCount, context);

    /// <summary>Null where the optional input is absent.</summary>
    public static void* GetInput(void* context, int index)
    {
        void* value;
        Check(((delegate* unmanaged<void*, nuint, void**, void*>)At(Function.KernelContextGetInput))(context, (nuint)index, &value));
        return value;
    }

    /// <summary>Null where nobody asks for the optional output.</summary>
    public static void* GetOutput(void* context, int index, ReadOnlySpan<long> dims)
    {
        void* value;
        fixed (long* d = dims)
        {
            Check(((delegate* unmanaged<void*, nuint, long*, nuint, void**, void*>)At(Function.KernelContextGetOutput))(
                context, (nuint)index, d, (nuint)dims.Length, &value));
        }
        return value;
    }

    public static void* GetData(void* tensor)
    {
        void* data;
        Check(((delegate* unmanaged<void*, void**, void*>)At(Function.GetTensorMutableData))(tensor, &data));
        return data;
    }

    public static TensorShape GetShape(void* tensor)
    {
        void* info;
        Check(((delegate* unmanaged<void*, void**, void*>)At(Function.GetTensorTypeAndShape))(tensor, &info));
        try
        {
            return GetShapeOfInfo(info);
        }
        finally
        {
            ((delegate* unmanaged<void*, void>)At(Function.ReleaseTensorTypeAndShapeInfo))(info);
        }
    }

    public static TensorShape GetShapeOfInfo(void* info)
    {
        nuint rank;
        Check(((delegate* unmanaged<void*, nuint*, void*>)At(Function.GetDimensionsCount))(info, &rank));
        if (rank > TensorShape.MaxRank)
            throw new KernelException($"a tensor has rank {rank}; at most {TensorShape.MaxRank} is supported");
        var dims = stackalloc long[TensorShape.MaxRank];
        Check(((delegate* unmanaged<void*, long*, nuint, void*>)At(Function.GetDimensions))(info, dims, rank));
        return new TensorShape(new ReadOnlySpan<long>(dims, (int)rank));
    }

    /// <summary>Whether every dimension of a rank of one or more is a number or has a name.</summary>
    public static bool IsKnown(void* shapeInfo)
    {
        var shape = GetShapeOfInfo(shapeInfo);
        var names = stackalloc byte*[TensorShape.MaxRank];
        Check(((delegate* unmanaged<void*, byte**, nuint, void*>)At(Function.GetSymbolicDimensions))(shapeInfo, names, (nuint)shape.Rank));
        for (var axis = 0; axis < shape.Rank; axis++)
        {
            if (shape.Dims[axis] < 0 && (names[axis] == null || *names[axis] == 0))
                return false;
        }
        return shape.Rank > 0;
    }

    public static void* GetMemoryInfo(void* tensor)
    {
        void* info;
        Check(((delegate* unmanaged<void*, void**, void*>)At(Function.GetTensorMemoryInfo))(tensor, &info));
        return info;
    }

    public static void* GetAllocator(void* context, void* memoryInfo)
    {
        void* allocator;
        Check(((delegate* unmanaged<void*, void*, void**, void*>)At(Function.KernelContextGetAllocator))(context, memoryInfo, &allocator));
        return allocator;
    }

    public static void* Allocate(void* allocator, nuint bytes)
    {
        void* memory;
        Check(((delegate* unmanaged<void*, nuint, void**, void*>)At(Function.AllocatorAlloc))(allocator, bytes, &memory));
        return memory;
    }

    public static void Free(void* allocator, void* memory) =>
        Check(((delegate* unmanaged<void*, void*, void*>)At(Function.AllocatorFree))(allocator, memory));

    public static void ReleaseAllocator(void* allocator) =>
        ((delegate* unmanaged<void*, void>)At(Function.ReleaseAllocator))(allocator);

    public static void* GetGpuComputeStream(void* context)
    {
        void* stream;
        Check(((delegate* unmanaged<void*, void**, void*>)At(Function.KernelContextGetGpuComputeStream))(context, &stream));
        return stream;
    }

    /// <summary>Calls <paramref name="body"/> for 0..<paramref name="count"/>-1 on the session's intra-op threads and waits for all.</summary>
    public static void ParallelFor(void* context, delegate* unmanaged<void*, nuint, void> body, int count, void* state) =>
        Check(((delegate* unmanaged<void*, delegate* unmanaged<void*, nuint, void>, nuint, nuint, void*, void*>)At(
            Function.KernelContextParallelFor))(context, body, (nuint)count, 0, state));

    /// <summary>The type and shape that shape inference knows of an input; borrowed.</summary>
    public static void* GetInferredInput(void* context, int index)
    {
        void* info;
        Check(((delegate* unmanaged<void*, nuint, void**, void*>)At(Function.ShapeInferContextGetInputTypeShape))(context, (nuint)index, &info));
        return info;
    }

    public static void SetInferredOutput(void* context, int index, void* info) =>
        Check(((delegate* unmanaged<void*, nuint, void*, void*>)At(Function.ShapeInferContextSetOutputTypeShape))(context, (nuint)index, info));

    private static void* At(Function function) => _table[(int)function];

    private static int GetCount(Function function, void* context)
    {
        nuint count;
        Check(((delegate* unmanaged<void*, nuint*, void*>)At(function))(context, &count));
        return (int)count;
    }

    private static bool TryGetArray<T>(Function function, void* info, string name, out T[] value) where T : unmanaged
    {
        value = [];
        var get = (delegate* unmanaged<void*, byte*, T*, nuint*, void*>)At(function);
        fixed (byte* text = Utf8(name))
        {
            nuint size = 0;
            if (!Succeeded(get(info, text, null, &size)))
                return false;
            value = new T[size];
            fixed (T* items = value)
                return size == 0 || Succeeded(get(info, text, items, &size));
        }
    }

    private static void Check(void* status)
    {
        if (status == null)
            return;
        var message = Text(((delegate* unmanaged<void*, byte*>)At(Function.GetErrorMessage))(status));
        Succeeded(status);
        throw new KernelException(message);
    }

    private static bool Succeeded(void* status)
    {
        if (status != null)
            ((delegate* unmanaged<void*, void>)At(Function.ReleaseStatus))(status);
        return status == null;
    }

    private static uint MinorVersion(string version) =>
        version.Split('.') is [_, var minor, ..] && uint.TryParse(minor, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";
}
