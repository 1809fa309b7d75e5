using Microsoft.ML.Attention;

namespace Microsoft.ML;

/// <summary>
/// Moves saved or fitted models to another execution provider. Nothing is trained anew, and the models they are made from stay as they are.
/// </summary>
public static class ExecutionProviderOverride
{
    /// <summary>Loads a model and runs its ONNX models where the caller says, not where the saved options say.</summary>
    /// <param name="catalog">The model catalog.</param>
    /// <param name="filePath">The saved model.</param>
    /// <param name="inputSchema">The schema of the data that the model was saved with.</param>
    /// <param name="provider">Where to run.</param>
    public static ITransformer Load(this ModelOperationsCatalog catalog, string filePath, out DataViewSchema inputSchema,
        ExecutionProvider provider) =>
        catalog.Load(filePath, out inputSchema).WithExecutionProvider(provider);

    /// <summary>Loads a model and runs its ONNX models where the caller says, not where the saved options say.</summary>
    /// <param name="catalog">The model catalog.</param>
    /// <param name="stream">The saved model.</param>
    /// <param name="inputSchema">The schema of the data that the model was saved with.</param>
    /// <param name="provider">Where to run.</param>
    public static ITransformer Load(this ModelOperationsCatalog catalog, Stream stream, out DataViewSchema inputSchema,
        ExecutionProvider provider) =>
        catalog.Load(stream, out inputSchema).WithExecutionProvider(provider);

    /// <summary>
    /// The same model with every ONNX model of this package in it, through chains of chains, running where the caller says.
    /// </summary>
    /// <param name="model">A transformer or a chain of them. It stays usable, and is to be disposed of by itself.</param>
    /// <param name="provider">Where to run.</param>
    /// <param name="deviceId">The CUDA device, from 0; <see langword="null"/> for the present choice.</param>
    public static ITransformer WithExecutionProvider(this ITransformer model, ExecutionProvider provider, int? deviceId = null) =>
        model.WithScoringOptions(scoring => scoring with
        {
            Session = scoring.Session with { ExecutionProvider = provider, DeviceId = deviceId ?? scoring.Session.DeviceId },
        });
}
