using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>ONNX Runtime's struct OrtCustomOp, followed by a handle of ours: the callbacks get the struct's address.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeCustomOp
{
    public uint Version;
    public void* CreateKernel;
    public delegate* unmanaged<NativeCustomOp*, byte*> GetName;
    public delegate* unmanaged<NativeCustomOp*, byte*> GetExecutionProviderType;
    public delegate* unmanaged<NativeCustomOp*, nuint, TensorElementType> GetInputType;
    public delegate* unmanaged<NativeCustomOp*, nuint> GetInputTypeCount;
    public delegate* unmanaged<NativeCustomOp*, nuint, TensorElementType> GetOutputType;
    public delegate* unmanaged<NativeCustomOp*, nuint> GetOutputTypeCount;
    public void* KernelCompute;
    public delegate* unmanaged<void*, void> KernelDestroy;
    public delegate* unmanaged<NativeCustomOp*, nuint, int> GetInputCharacteristic;
    public delegate* unmanaged<NativeCustomOp*, nuint, int> GetOutputCharacteristic;
    public delegate* unmanaged<NativeCustomOp*, nuint, int> GetInputMemoryType;
    public void* GetVariadicInputMinArity;
    public void* GetVariadicInputHomogeneity;
    public void* GetVariadicOutputMinArity;
    public void* GetVariadicOutputHomogeneity;
    public delegate* unmanaged<NativeCustomOp*, void*, void*, void**, void*> CreateKernelV2;
    public delegate* unmanaged<void*, void*, void*> KernelComputeV2;
    public delegate* unmanaged<NativeCustomOp*, void*, void*> InferOutputShape;
    public delegate* unmanaged<NativeCustomOp*, int> GetStartVersion;
    public delegate* unmanaged<NativeCustomOp*, int> GetEndVersion;
    public void* GetMayInplace;
    public void* ReleaseMayInplace;
    public void* GetAliasMap;
    public void* ReleaseAliasMap;

    /// <summary>Ours: a <see cref="GCHandle{T}"/> of the <see cref="CustomOp"/>.</summary>
    public nint Handle;
}

/// <summary>A <see cref="Kernel"/> as ONNX Runtime sees it. Sessions keep its address, so it lives as long as the process.</summary>
internal sealed unsafe class CustomOp
{
    private const string CudaProvider = "CUDAExecutionProvider";

    // Values of the enum OrtMemType.
    private const int DefaultMemory = 0;
    private const int HostInputMemory = -2;

    private readonly string _domain;
    private readonly Kernel _kernel;
    private readonly byte* _name;
    private readonly byte* _provider;

    public CustomOp(string domain, Kernel kernel)
    {
        _domain = domain;
        _kernel = kernel;
        _name = (byte*)Marshal.StringToCoTaskMemUTF8(kernel.Signature.Op);
        _provider = kernel.Provider == KernelProvider.Cuda ? (byte*)Marshal.StringToCoTaskMemUTF8(CudaProvider) : null;
        Native = (NativeCustomOp*)NativeMemory.AllocZeroed((nuint)sizeof(NativeCustomOp));
        *Native = new NativeCustomOp
        {
            Version = OrtCApi.Version,
            GetName = &GetName,
            GetExecutionProviderType = &GetProvider,
            GetInputType = &GetInputType,
            GetInputTypeCount = &GetInputCount,
            GetOutputType = &GetOutputType,
            GetOutputTypeCount = &GetOutputCount,
            GetInputCharacteristic = &GetInputCharacteristic,
            GetOutputCharacteristic = &GetOutputCharacteristic,
            GetInputMemoryType = &GetInputMemoryType,
            CreateKernelV2 = &CreateKernel,
            KernelComputeV2 = &Compute,
            KernelDestroy = &Destroy,
            InferOutputShape = kernel.Signature.Outputs.Any(o => o.ShapeOfInput is not null) ? &InferOutputShape : null,
            GetStartVersion = &GetStartVersion,
            GetEndVersion = &GetEndVersion,
            Handle = GCHandle<CustomOp>.ToIntPtr(new GCHandle<CustomOp>(this)),
        };
    }

    public NativeCustomOp* Native { get; }

    private static CustomOp From(NativeCustomOp* op) => GCHandle<CustomOp>.FromIntPtr(op->Handle).Target;

    [UnmanagedCallersOnly]
    private static byte* GetName(NativeCustomOp* op) => From(op)._name;

    [UnmanagedCallersOnly]
    private static byte* GetProvider(NativeCustomOp* op) => From(op)._provider;

    [UnmanagedCallersOnly]
    private static nuint GetInputCount(NativeCustomOp* op) => (nuint)From(op)._kernel.Signature.Inputs.Length;

    [UnmanagedCallersOnly]
    private static nuint GetOutputCount(NativeCustomOp* op) => (nuint)From(op)._kernel.Signature.Outputs.Length;

    [UnmanagedCallersOnly]
    private static TensorElementType GetInputType(NativeCustomOp* op, nuint index)
    {
        var kernel = From(op)._kernel;
        return kernel.Signature.Inputs[index].Type ?? kernel.Type;
    }

    [UnmanagedCallersOnly]
    private static TensorElementType GetOutputType(NativeCustomOp* op, nuint index)
    {
        var kernel = From(op)._kernel;
        return kernel.Signature.Outputs[index].Type ?? kernel.Type;
    }

    [UnmanagedCallersOnly]
    private static int GetInputCharacteristic(NativeCustomOp* op, nuint index) => From(op)._kernel.Signature.Inputs[index].Optional ? 1 : 0;

    [UnmanagedCallersOnly]
    private static int GetOutputCharacteristic(NativeCustomOp* op, nuint index) => From(op)._kernel.Signature.Outputs[index].Optional ? 1 : 0;

    [UnmanagedCallersOnly]
    private static int GetInputMemoryType(NativeCustomOp* op, nuint index) =>
        From(op)._kernel.Signature.Inputs[index].OnHost ? HostInputMemory : DefaultMemory;

    [UnmanagedCallersOnly]
    private static int GetStartVersion(NativeCustomOp* op) => 1;

    [UnmanagedCallersOnly]
    private static int GetEndVersion(NativeCustomOp* op) => int.MaxValue;

    [UnmanagedCallersOnly]
    private static void* CreateKernel(NativeCustomOp* op, void* api, void* info, void** kernel)
    {
        var self = From(op);
        try
        {
            var node = new Node(self, self._kernel.Create(new KernelAttributes(info)));
            *kernel = (void*)GCHandle<Node>.ToIntPtr(new GCHandle<Node>(node));
            return null;
        }
        catch (Exception exception)
        {
            return self.Status(exception);
        }
    }

    [UnmanagedCallersOnly]
    private static void* Compute(void* kernel, void* context)
    {
        var node = GCHandle<Node>.FromIntPtr((nint)kernel).Target;
        try
        {
            node.Kernel.Compute(new KernelContext(context, node.Op._kernel.Signature));
            return null;
        }
        catch (Exception exception)
        {
            return node.Op.Status(exception);
        }
    }

    [UnmanagedCallersOnly]
    private static void Destroy(void* kernel)
    {
        using var handle = GCHandle<Node>.FromIntPtr((nint)kernel);
        try
        {
            handle.Target.Kernel.Dispose();
        }
        catch (Exception)
        {
            // The session is going away and this callback has no status to return.
        }
    }

    [UnmanagedCallersOnly]
    private static void* InferOutputShape(NativeCustomOp* op, void* context)
    {
        var self = From(op);
        try
        {
            var outputs = self._kernel.Signature.Outputs;
            for (var index = 0; index < outputs.Length; index++)
            {
                if (outputs[index] is not { ShapeOfInput: { } input, Type: null, Optional: false })
                    continue;
                var info = OrtCApi.GetInferredInput(context, input);
                if (OrtCApi.IsKnown(info))
                    OrtCApi.SetInferredOutput(context, index, info);
            }
            return null;
        }
        catch (Exception exception)
        {
            return self.Status(exception);
        }
    }

    private void* Status(Exception exception) => OrtCApi.CreateStatus(
        exception is KernelException ? OrtErrorCode.InvalidArgument : OrtErrorCode.Fail,
        $"{_domain}::{_kernel.Signature.Op}: {exception.Message}");

    private sealed record Node(CustomOp Op, IKernel Kernel);
}
